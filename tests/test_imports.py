"""Who may import whom: one line a folder, no circles, and torch waits behind the one lazy boundary of a command."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import metalstm

PACKAGE = Path(metalstm.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TOP = {"__init__", "__main__", "api", "predictor", "registry", "errors", "train"}  # train: `python -m metalstm.train`

# What the modules of a folder may import of the package, besides their own folder and what may be imported everywhere.
EVERYWHERE = {"errors", "files", "registry", "config.text", "config.extras"}
MAY_IMPORT = {
    "files": set(),
    "config": set(),
    "runtime": set(),
    "tasks": set(),
    "nn": {"config", "runtime"},  # the memory budget is the process's
    "datasets": {"config", "tasks", "runtime"},  # runtime: reading shows its progress
    "runs": {"runtime"},
    "tracking": {"config"},
    "learners": {"config", "nn", "tasks", "runtime"},
    "reporting": {"config", "runs", "evaluation.statistics"},
    "evaluation": {"learners", "nn", "runs", "runtime", "tasks", "datasets.base"},
    "training": {"evaluation", "learners", "nn", "runs", "runtime", "tasks"},
    "sweeps": {"config", "evaluation", "learners", "reporting", "runs", "runtime"},  # never experiment
    "experiment": {
        *("config", "datasets", "evaluation", "learners", "nn", "reporting", "runs", "runtime", "tasks", "tracking"),
        "training",
    },
}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


MODULES = {name_of(path): path for path in FILES}


def for_types(tree: ast.Module) -> set[int]:
    """The nodes under `if TYPE_CHECKING`."""
    return {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", None) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }


def imports(path: Path, everywhere: bool = True) -> Iterator[str]:
    """The modules that a file imports, also within functions; not those for a type checker alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    left_out = for_types(tree)
    for node in ast.walk(tree) if everywhere else tree.body:
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            names = [f"{node.module}.{alias.name}".removeprefix("metalstm.") for alias in node.names]
            modules = [name for name in names if name in MODULES]
            if len(modules) < len(names):
                yield node.module
            yield from (f"metalstm.{name}" for name in modules)


def ours(path: Path, everywhere: bool = True) -> set[str]:
    """The package's modules that a file imports, without the package's name; `runs.layout`, say."""
    found = {name.removeprefix("metalstm.") for name in imports(path, everywhere) if name.startswith("metalstm.")}
    return found & MODULES.keys()


def within(name: str, allowed: set[str]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in allowed)


def test_the_reader_of_imports_reads() -> None:
    assert {"config.text", "errors", "files.writing"} <= ours(MODULES["runs.layout"])
    assert "torch" in set(imports(MODULES["training.meta_trainer"]))
    assert "importlib" in set(imports(MODULES["cli.boundary"], everywhere=False))


def test_the_top_level_is_short() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == TOP


def test_every_folder_has_its_line() -> None:
    folders = {path.relative_to(PACKAGE).parts[0] for path in FILES if path.parent != PACKAGE}
    assert folders - {"configs", "cli"} == set(MAY_IMPORT)  # an installed package has its YAML files inside


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_directions(folder: str) -> None:
    for name, path in MODULES.items():
        if within(name, {folder}):
            allowed = {folder, *MAY_IMPORT[folder], *EVERYWHERE}
            wrong = [other for other in ours(path) if not within(other, allowed)]
            assert not wrong, f"{name} imports {wrong}"


def test_what_may_be_imported_everywhere_imports_nothing_above_it() -> None:
    for name, path in MODULES.items():
        if within(name, EVERYWHERE):
            assert all(within(other, EVERYWHERE) for other in ours(path)), name


def test_there_are_no_circles() -> None:
    """Remove modules that import nothing that is left until none can be removed."""
    left = {name: ours(path, everywhere=False) - {name} for name, path in MODULES.items()}
    while free := {name for name, needs in left.items() if not needs & left.keys()}:
        left = {name: needs for name, needs in left.items() if name not in free}
    assert not left, sorted(left)


def at_once(name: str) -> set[str]:
    """All that importing a module of the package imports at once, the package's modules included."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        for other in imports(MODULES[waiting.pop()], everywhere=False):
            if other not in seen:
                seen.add(other)
                if other.removeprefix("metalstm.") in MODULES:
                    waiting.append(other.removeprefix("metalstm."))
    return {other.split(".")[0] for other in seen if not other.startswith("metalstm")} | seen


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name.startswith("cli.") or name == "api"))
def test_torch_waits(name: str) -> None:
    if name == "cli.sweep_data":  # behind the boundary of `metalstm-train -m`
        return
    heavy = {"torch", "torchvision", "higher", "numpy", "matplotlib", "PIL", "pandas", "scipy"}
    assert not at_once(name) & heavy


# Libraries that are optional, or take their time and are needed by few: imported where they are used.
LATER = {
    *("joblib", "matplotlib", "optuna", "safetensors", "sqlalchemy", "wfdb"),  # extras
    *("pandas", "scipy", "torchvision"),  # for time stamps, for intervals and heart beats, for downloads
}
LAZY = {("__init__", "metalstm"), ("runtime.progress", "tqdm")}  # the door of the package; a notebook's own bar


def test_imports_stand_at_the_top() -> None:
    """Behind the one lazy boundary of a command, `cli.boundary.lazily`, nothing is imported within a function."""
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        at_top = {id(node) for node in tree.body} | for_types(tree)
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)) and id(node) not in at_top:
                module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                library = str(module).split(".")[0]
                assert library in LATER or (name, library) in LAZY, f"{name}, line {node.lineno}: {module}"


def test_types_are_imported_as_all_else() -> None:
    """But where two modules need each other: settings and their checks."""
    found = {name for name, path in MODULES.items() if for_types(ast.parse(path.read_text(encoding="utf-8")))}
    assert found == {"__init__", "api", "config.checks"}  # the first two are the lazy door
