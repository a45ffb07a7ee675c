"""Every YAML file is composed and run for a step; the built wheel holds the same files."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import metalstm
from metalstm import registry
from support.cifar100 import cifar100, python2_pickle
from support.commands import tiny
from support.places import shared_data

GROUPS = {group: registry.settings_classes(group) for group in registry.GROUPS}

PACKAGE = Path(metalstm.__file__).parent
CONFIGS = PACKAGE.parent / "configs"
CHOICES = sorted(path.relative_to(CONFIGS).with_suffix("").as_posix() for path in CONFIGS.glob("*/*.yaml"))
REGRESSION = [name for name, kind in GROUPS["dataset"].items() if kind.kind == "regression"]
WAYS = {**dict.fromkeys(REGRESSION, 1), "movietweetings": 2, "ecg": 2}  # of datasets that cannot have the usual number

if not CONFIGS.is_dir():
    pytest.skip("the tests of the YAML files need the repository", allow_module_level=True)


def dataset_of(group: str, choice: str) -> str:
    """The dataset that a choice of a group runs on: an experiment names its own."""
    if group == "dataset":
        return choice
    return chosen_by(choice).get("dataset", "glyphs") if group == "experiment" else "glyphs"


def chosen_by(experiment: str) -> dict[str, str]:
    """What an experiment chooses of the groups, itself or by the one that it goes on from."""
    chosen: dict[str, str] = {}
    for item in OmegaConf.load(CONFIGS / "experiment" / f"{experiment}.yaml").get("defaults", []):
        if isinstance(item, str):
            chosen |= chosen_by(item)
        else:
            chosen |= {name.removeprefix("override /"): value for name, value in item.items()}
    return chosen


def foreign(group: str, choice: str) -> list[str]:
    """The tiny settings that a choice has not: not every learner takes inner steps, nor every model a hidden size."""
    chosen = chosen_by(choice) if group == "experiment" else {group: choice}
    missing = []
    for of, setting in (("learner", "inner_steps"), ("model", "hidden_size")):
        content = OmegaConf.load(CONFIGS / of / f"{chosen[of]}.yaml") if of in chosen else {setting: None}
        if setting not in content and "defaults" not in content:
            missing.append(f"{of}.{setting}")
    return missing


def marked(path: str) -> Any:
    """Decoding Omniglot takes half a minute."""
    return pytest.param(path, marks=pytest.mark.slow) if dataset_of(*path.split("/")) == "omniglot" else path


@pytest.fixture
def small_cifar_fs(tmp_path: Path, monkeypatch: Any) -> Path:
    """A folder with CIFAR-100's files in their form, with few images, which count as whole."""
    from metalstm.datasets.images import cifar_fs
    from metalstm.datasets.images.cifar100_files import Counts
    from metalstm.datasets.images.cifar_fs import load_cifar_fs

    for name, content in cifar100(3, 2).items():
        (tmp_path / name).write_bytes(python2_pickle(content))
    monkeypatch.setattr(cifar_fs, "load_cifar_fs", functools.partial(load_cifar_fs, counts=Counts(3, 2)))
    return tmp_path


@pytest.mark.parametrize("path", [marked(path) for path in CHOICES])
def test_one_step(
    path: str,
    in_process: Any,
    small_cifar_fs: Path,
    cache_home: Path,
    monkeypatch: Any,
) -> None:
    group, choice = path.split("/")
    dataset = dataset_of(group, choice)
    changes: dict[str, Any] = {"steps": 1, "scratch_tasks": 0}
    if dataset != "glyphs":
        changes["dataset.classes"] = None
    given = OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{path}.yaml"))
    changes |= dict.fromkeys(foreign(group, choice))
    if "root" in OmegaConf.to_container(OmegaConf.load(CONFIGS / "dataset" / f"{dataset}.yaml")):
        places = {"cifar_fs": small_cifar_fs, "folder": shared_data("speech_commands") / "dataset"}
        changes["dataset.root"] = places.get(dataset) or shared_data(dataset)
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))
    if dataset in WAYS:
        changes["ways"] = WAYS[dataset]
    if path == "model/module":
        changes["model.make"] = "torch.nn:Flatten"
    ended = in_process("train", f"{group}={choice}", *tiny(**changes))
    assert ended.code == 0, ended.err
    (result,) = Path().rglob("result.json")
    settings = OmegaConf.load(result.with_name("config.yaml"))
    assert settings.dataset.name == dataset
    if group == "experiment":
        return
    for name, value in given.items():
        if f"{group}.{name}" not in changes and name not in (
            "defaults",
            "hidden_size",
            "classes",
            "inner_steps",
            "least",
        ):
            assert settings[group][name] == value


def test_every_group_and_name_has_its_file() -> None:
    assert {choice.split("/")[0] for choice in CHOICES} == {*GROUPS, "experiment"}
    for group, names in GROUPS.items():
        found = {OmegaConf.load(path).get("name") for path in (CONFIGS / group).glob("*.yaml")}
        assert found - {None} == set(names)


@pytest.mark.slow
def test_the_wheel_holds_the_same_files(tmp_path: Path) -> None:
    pytest.importorskip("setuptools")
    repository = tmp_path / "repository"
    for name in ("metalstm", "configs"):
        shutil.copytree(PACKAGE.parent / name, repository / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PACKAGE.parent / name, repository)
    build = "import sys, setuptools.build_meta as backend; backend.build_wheel(sys.argv[1])"
    ended = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=repository, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    configs = {path.relative_to(CONFIGS).as_posix() for path in CONFIGS.rglob("*.yaml")}
    assert {name.removeprefix("metalstm/configs/") for name in names if name.endswith(".yaml")} == configs
    kinds = (".py", ".c", ".css", ".h", ".typed")
    code = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*") if path.suffix in kinds}
    held = {name.removeprefix("metalstm/") for name in names if not name.startswith("metalstm/configs/")}
    assert held == code
    assert held > {"reporting/report.css", "nn/kernel/sweeps.c", "nn/kernel/cells.h", "nn/kernel/products.h"}
