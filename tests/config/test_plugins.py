"""Plugins: learners and datasets of a person's own, in a file, a package or an installed distribution."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore

from metalstm import registry
from metalstm.config import plugins
from metalstm.config.compose import composed
from metalstm.config.parse import train_settings
from metalstm.errors import ConfigError
from metalstm.registry import register
from support.commands import only_run, result_of, tiny

pytestmark = pytest.mark.usefixtures("no_figures")

MINE = '''
"""A learner and a dataset of my own."""
from dataclasses import dataclass
import torch
from metalstm import ClassDataset, Dataset, DatasetSettings, bounded, one_of, register
from metalstm.learners.protonet import ProtoNet, ProtoNetSettings
from metalstm.tasks.classes import SPLITS
from metalstm.tracking.base import Tracker


@register("tracker", "lines")
class Lines(Tracker):
    def begin(self, run):
        self.file = (run.path / "lines.txt").open("w")

    def log(self, records):
        self.file.writelines(f"{one.step} {sorted(one.values)}\\n" for one in records)

    def end(self, ending):
        self.file.write(ending)
        self.file.close()


@register("learner", "nearest")
@dataclass(kw_only=True)
class NearestSettings(ProtoNetSettings):
    """The nearest class mean."""

    scale: float = bounded(above=0, default=1.5, help="of the distances")

    def build(self, parts):
        return ProtoNet(parts.model(0), parts.kind, parts.outputs, self.scale)


@register("dataset", "tones")
@dataclass(kw_only=True)
class TonesSettings(DatasetSettings):
    """Sine tones, a class a frequency."""

    classes: int = bounded(minimum=9, default=18)
    form: str = one_of("sine", "cosine", default="sine")

    def load(self):
        tones = torch.sin(torch.linspace(0.2, 2, self.classes)[:, None, None] * torch.arange(12.0))
        noise = torch.randn(self.classes, 9, 12, generator=torch.Generator().manual_seed(0))
        examples = (tones + 0.1 * noise).unsqueeze(-1)
        pools = {
            split: ClassDataset(examples[first :: 3], [f"{split}{n}" for n in range(len(examples[first :: 3]))])
            for first, split in enumerate(SPLITS)
        }
        return Dataset(name="tones", splits=pools, steps=12, features=1, fingerprint="1", description="tones")
'''
LINE = ["learner=nearest", "dataset=tones", *tiny(**{"dataset.classes": None, "learner.inner_steps": None})]


@pytest.fixture(autouse=True)
def as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget afterwards what a plugin has registered."""
    for group in registry.GROUPS:
        registry.settings_classes(group)  # which stay imported
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    monkeypatch.setattr(plugins, "_written", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for group, name, _ in plugins.own_components():
        ConfigStore.instance().repo.get(group, {}).pop(f"{name}.yaml", None)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The plugin's file, in a folder of its own."""
    file = tmp_path / "a folder" / "mine.py"
    file.parent.mkdir()
    file.write_text(MINE)
    return file


def forget(module: str) -> None:
    """As in another process."""
    del sys.modules[module]
    plugins._written.clear()
    for group in registry.PACKAGES:
        for name in set(registry.registered(group)) - set(registry.packaged(group)):
            del registry._registered[group, name]


def refusal(load: Callable[..., Any], *given: Any) -> str:
    with pytest.raises(ConfigError) as error:
        load(*given)
    return str(error.value)


def test_a_run_of_a_plugin_that_is_moved(mine: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained from a name in the working directory, tested again from elsewhere, and gone on with where it is moved."""
    monkeypatch.chdir(mine.parent)
    ended = in_process("train", "plugins=[mine]", *LINE)
    assert ended.code == 0, ended.err
    run = only_run(Path("outputs")).absolute()
    assert result_of(run)["learner"] == "nearest"
    assert f"plugins:\n- {mine}\n" in (run / "config.yaml").read_text()
    monkeypatch.chdir("/")
    assert in_process("test", f"run={run}", "tasks=4").code == 0
    moved = mine.with_name("moved.py")
    mine.rename(moved)
    forget("mine")
    ended = in_process("test", f"run={run}", "tasks=4")
    assert ended.code == 2
    assert f"plugins={mine}, but {mine} is not there" in ended.err
    assert "plugins=[<its file>]" in ended.err
    assert in_process("test", f"run={run}", "tasks=4", f"plugins=['{moved}']").code == 0
    ended = in_process("train", f"resume={run}", "steps=8", f"plugins=['{moved}']")
    assert ended.code == 0, ended.err
    assert f"changed: plugins from [{mine}] to [{moved}]" in ended.out


def test_settings_of_a_plugin(mine: Path) -> None:
    """Its own defaults and bounds, and those of the package's component that it derives from."""
    line = [f"plugins=['{mine}']", "learner=nearest", "dataset=tones"]
    settings = train_settings(composed("train", line))
    assert (settings.learner.scale, settings.learner.metric_scale, settings.dataset.classes) == (1.5, None, 18)
    assert settings.plugins == [str(mine)]
    said = refusal(train_settings, composed("train", [*line, "learner.scale=0", "dataset.form=square"]))
    assert "learner.scale=0.0, but it must be larger than 0" in said
    assert "dataset.form=square, but it must be one of sine, cosine" in said
    assert "metric_scale is no setting" not in said


def test_help_of_a_plugin(mine: Path, process: Any, tmp_path: Path) -> None:
    ended = process("metalstm-train", f"plugins=['{mine}']", "learner=nearest", "dataset=tones", "--help", cwd=tmp_path)
    assert ended.code == 0, ended.err
    said = [line.split() for line in ended.out.splitlines()]
    assert ["learner=nearest", "The", "nearest", "class", "mean."] in said
    assert ["dataset=tones", "Sine", "tones,", "a", "class", "a", "frequency."] in said
    assert ["learner.scale=1.5", "of", "the", "distances"] in said
    assert any(words[:1] == ["learner.metric_scale=null"] and len(words) > 3 for words in said)  # as protonet's YAML


def test_a_tracker(mine: Path, in_process: Any) -> None:
    ended = in_process("train", f"plugins=['{mine}']", *LINE, "logger=lines")
    assert ended.code == 0, ended.err
    lines = (only_run(Path("outputs")) / "lines.txt").read_text().splitlines()
    assert lines[0].startswith("1 [")
    assert lines[-1] == "finished"
    assert len(lines) > 6
    ended = in_process("train", *tiny(), "logger=pages")
    assert "logger=pages, but it must be none, or some of lines, mlflow, tensorboard, wandb" in ended.err


def test_did_you_mean(mine: Path, in_process: Any) -> None:
    ended = in_process("train", f"plugins=['{mine}']", "learner=nearst")
    assert ended.code == 2
    assert "learner=nearst is unknown" in ended.err
    assert "nearest" in ended.err


def test_an_experiment_of_ones_own_names_its_plugin(mine: Path, in_process: Any, tmp_path: Path) -> None:
    own = tmp_path / "configs" / "experiment"
    own.mkdir(parents=True)
    head = "# @package _global_\ndefaults:\n  - override /learner: nearest\n  - override /dataset: tones\n"
    (own / "both.yaml").write_text(f"{head}plugins: ['{mine}']\n")
    line = [one for one in LINE if not one.startswith(("learner=", "dataset="))]
    ended = in_process("train", f"--config-dir={own.parent}", "experiment=both", *line)
    assert ended.code == 0, ended.err
    assert result_of(only_run(Path("outputs")))["dataset"] == "tones"


def test_what_an_installed_package_registers(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its entry point, without a setting."""
    distribution = tmp_path / "site" / "mine-1.0.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text("[metalstm.plugins]\nmine = mine\n")
    mine.rename(tmp_path / "site" / "mine.py")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    plugins.import_entry_points.cache_clear()
    try:
        settings = train_settings(composed("train", ["learner=nearest"]))
    finally:
        plugins.import_entry_points.cache_clear()
    assert (settings.learner.scale, settings.plugins) == (1.5, [])


@pytest.mark.slow
def test_every_job_and_trial_imports_it(mine: Path, process: Any) -> None:
    pytest.importorskip("optuna")
    line = [one for one in LINE if not one.startswith("seed=")]
    given = ["plugins=[mine]", *line]
    for launcher in ([], ["hydra/launcher=cores"]):
        ended = process("metalstm-train", "-m", *launcher, *given, "seed=0,1", cwd=mine.parent)
        assert (ended.code, ended.err) == (0, ""), ended.err
        assert "jobs      2" in ended.out
    ended = process("metalstm-search", *given, "outer_lr=1e-3,1e-2", "trials=2", cwd=mine.parent)
    assert ended.code == 0, ended.err
    assert "best" in ended.out


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nothing_there", None, ["plugins=nothing_there, but there is no module nothing_there", "plugins=[/home/me"]),
        ("./nothing.py", None, ["nothing.py is not there", "bring it back"]),
        ("broken", "import no_such_module", ["cannot be imported: ModuleNotFoundError", "broken.py:1)", "mend it"]),
        ("broken", "def f(:", ["cannot be imported: SyntaxError", "broken.py:1)"]),
        ("broken", "raise SystemError('no')", ["cannot be imported: SystemError: no"]),
        ("./json.py", "x = 1", ["has the name of another module", "rename it"]),
        (
            "twice",
            'from metalstm.registry import register\nregister("learner", "maml")(int)\n',
            ["learner=maml is a component of metalstm itself"],
        ),
        ("wrong", 'from metalstm.registry import register\nregister("lerner", "x")', ["there is no group 'lerner'"]),
    ],
)
def test_refused(
    name: str, content: str | None, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(f"{name.removesuffix('.py')}.py").write_text(content)
    message = refusal(plugins.import_plugins, [name])
    assert all(words in message for words in said), message


@pytest.mark.parametrize("group", registry.GROUPS)
def test_a_component_is_one_file_and_one_yaml(group: str) -> None:
    """Settings, class and registration stand in the file that has the component's name."""
    for name in registry.packaged(group):
        kind = registry.settings_class(group, name)
        assert kind.__module__.rpartition(".")[2] == name
        assert (
            Path(sys.modules[kind.__module__].__file__ or "").read_text().count(f'@register("{group}", "{name}")') == 1
        )
    assert len({registry.settings_class(group, name) for name in registry.packaged(group)}) == len(
        registry.packaged(group)
    )


def test_a_name_is_registered_once() -> None:
    kind = registry.settings_class("model", "mlp")
    assert register("model", "mlp")(kind) is kind
    with pytest.raises(ValueError, match=r"learner=x is registered already, by builtins\.int"):
        register("learner", "x")(register("learner", "x")(int) and str)
