"""Who may import whom: data flows one way, config objects stay on top, and torch waits until it is needed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import metalstm

PACKAGE = Path(metalstm.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# What the modules of a folder may import of the package, besides themselves and those that know nothing of it.
EVERYWHERE = {"errors", "extras", "fields", "files", "ownership", "reading"}
MAY_IMPORT = {
    "tasks": set(),
    "datasets": {"tasks"},
    "nn": set(),
    "learners": {"nn", "tasks"},
    # `base` for types: what a dataset and a shape are; the budget is the process's, as its number of threads.
    "run": {"learners", "tasks", "datasets.base", "nn.base", "nn.budget"},
    # what lies where in a run, how it went, and intervals
    "reporting": {"run.directory", "run.metrics", "run.statistics"},
    "tracking": set(),
    "searching": {
        "run.directory",
        "run.interruption",
        "run.job",
        "run.metrics",
        "run.signals",
    },  # a run as another process sees it
}
# Resuming compares the config of a run directory with the command line's.
SEE_CONFIG = {
    "arguments.py",
    "combinations.py",
    "command.py",
    "composition.py",
    "help.py",
    "adapting.py",
    "launch.py",
    "own_configs.py",
    "sweep.py",
    "sweep_checks.py",
    "assembly.py",
    "beginning.py",
    "learner_assembly.py",
    "train.py",
    "test.py",
    "adapt.py",
    "trained.py",
    "search.py",
    "run/resume.py",
    "run/resumed.py",
    "searching/space.py",  # the grammar of overrides
}
LIGHT = [
    *(
        "__init__.py",
        "arguments.py",
        "at_odds.py",
        "combinations.py",
        "command.py",
        "api.py",
        "composition.py",
        "config.py",
        "dataset_settings.py",
        "errors.py",
        "extras.py",
        "fields.py",
        "files.py",
        "help.py",
        "learner_settings.py",
        "own_configs.py",
        "reading.py",
        "sweep.py",
        "sweep_checks.py",
    ),
    *("report.py", "runs.py", "train.py", "test.py", "adapt.py", "search.py"),
]


def imports(path: Path, everywhere: bool = True) -> Iterator[str]:
    """The modules that a file imports, also within functions; not those for a type checker alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", None) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree) if everywhere else tree.body:
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            yield node.module
            # `from metalstm.run import resume` imports a module as well.
            yield from (
                f"{node.module}.{alias.name}"
                for alias in node.names
                if PACKAGE.joinpath(*f"{node.module}.{alias.name}".split(".")[1:]).with_suffix(".py").exists()
            )


def ours(path: Path) -> set[str]:
    """The package's modules that a file imports, without the package's name; `run.resume`, say."""
    found = {name.removeprefix("metalstm.") for name in imports(path) if name.startswith("metalstm.")}
    return {name for name in found if PACKAGE.joinpath(*name.split(".")).with_suffix(".py").exists()}


def test_the_reader_of_imports_reads() -> None:
    assert {"assembly", "config", "run.resume", "run.loop"} <= ours(PACKAGE / "train.py")
    assert "torch" in set(imports(PACKAGE / "train.py"))
    assert "torch" not in set(imports(PACKAGE / "train.py", everywhere=False))


def test_every_folder_has_its_line() -> None:
    folders = {path.parent.name for path in FILES if path.parent != PACKAGE}
    assert folders - {"configs"} == set(MAY_IMPORT)  # an installed package has its YAML files inside


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_directions(folder: str) -> None:
    for path in (PACKAGE / folder).glob("*.py"):
        for name in ours(path):
            allowed = {folder, *MAY_IMPORT[folder], *EVERYWHERE}
            if name == "config" and path.name in ("resume.py", "resumed.py"):
                continue
            assert any(name == one or name.startswith(f"{one}.") for one in allowed), f"{folder}/{path.name}: {name}"


def test_what_may_be_imported_everywhere_imports_nothing_but_errors() -> None:
    imported = {name: ours(PACKAGE / f"{name}.py") for name in sorted(EVERYWHERE)}
    alone = {"errors": set(), "extras": set(), "ownership": set(), "fields": {"errors", "files"}}
    assert imported == alone | {name: {"errors"} for name in EVERYWHERE - alone.keys()}


def test_configs_stay_on_top() -> None:
    seen = {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        if any(name.split(".")[0] in ("hydra", "omegaconf") or name == "metalstm.config" for name in imports(path))
    }
    assert seen - {"config.py"} == SEE_CONFIG


@pytest.mark.parametrize("name", LIGHT)
def test_torch_waits(name: str) -> None:
    heavy = {"torch", "torchvision", "higher", "numpy", "matplotlib", "PIL", "tqdm"}
    path = PACKAGE / name
    at_once = set(imports(path, everywhere=False))
    assert not {module.split(".")[0] for module in at_once} & heavy
    light = {f"metalstm.{other.removesuffix('.py')}" for other in LIGHT}
    assert {module for module in at_once if module.startswith("metalstm.")} <= light
