"""Paths: `~` is home, any name can be typed, a run keeps them from the root, and printed commands can be pasted."""

from __future__ import annotations

import re
import shlex
import subprocess
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from metalstm import Run, load, meta_train
from metalstm.cli.sweep_checks import checked_settings
from metalstm.config.compose import composed, readable
from metalstm.config.parse import PATHS, as_mapping, from_the_root, train_settings
from metalstm.config.text import command, pasted, plain
from metalstm.errors import ConfigError, DataError
from metalstm.files.paths import expanded
from metalstm.sweeps.job import Job
from metalstm.sweeps.search.search import understood
from support.commands import only_run, tiny
from support.places import CONFIGS

NAMES = [
    *("a b (2)", "jürgen/lr=0.1", "a,b", "it's", 'a"b', "a$b", "$HOME", "a${b}", "50%", "-x", "~", "~/x", "a`b`"),
    *(
        "[x]",
        "{y: z}",
        "null",
        "true",
        "1e3",
        "007",
        "2024",
        "x#y",
        "'q'",
        "ends\\",
        "\\'",
        "日本 語",
        " begins",
        "ends ",
        "a:b;c&d|e<f>*?!",
    ),
]
QUICK = {"steps": 1, "test_tasks": 4, "scratch_tasks": 0}


def typed_in(line: str) -> list[str]:
    """The words of a line as bash has them."""
    said = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True).stdout
    return said.decode().split("\0")[:-1]


def value(override: str) -> Any:
    """What Hydra and OmegaConf make of an override."""
    parsed = OverridesParser.create().parse_override(override)
    return OmegaConf.create({"value": parsed.value()}).value


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def tables(home: Path) -> Path:
    """A person's own data, in `~/my data (2)`."""
    for number in range(6):
        folder = home / "my data (2)" / f"class {number}"
        folder.mkdir(parents=True)
        for example in range(4):
            rows = np.random.default_rng([number, example]).normal(number, size=(3, 2))
            np.savetxt(folder / f"{example}.csv", rows, delimiter=",")
    return home / "my data (2)"


# Commands that are printed


@pytest.mark.parametrize("name", NAMES)
def test_a_printed_command_can_be_pasted(name: str) -> None:
    program, run, tasks = typed_in(command("metalstm-test", run=Path(name), tasks=1000))
    assert (program, tasks) == ("metalstm-test", "tasks=1000")
    assert (Path(value(run)), run[:4]) == (Path(name), "run=")


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_as_an_argument_can_be_pasted(name: str) -> None:
    program, folder = typed_in(command("metalstm-report", Path(name)))
    assert (program, Path(folder)) == ("metalstm-report", Path(name))
    assert folder[0] not in "-~"


def test_plain_paths_are_printed_as_they_are() -> None:
    plain = Path("outputs/glyphs_5w1s_maml/2026-12-01T04-11-45-750715")
    assert command("metalstm-test", run=plain, tasks=9) == f"metalstm-test run={plain} tasks=9"
    assert command("metalstm-report", plain) == f"metalstm-report {plain}"
    assert pasted("resume", Path("a b")) == "\"resume='a b'\""


@pytest.mark.parametrize("place", ["a b (2)", "jürgen/lr=0.1", "it's $5"])
def test_what_a_run_offers_next_can_be_pasted(in_process: Any, place: str) -> None:
    ended = in_process("train", *tiny(**QUICK), f"output_dir={place}")
    assert ended.code == 0, ended.err
    (offered,) = re.findall(r"^next +metalstm-test (.*) tasks=1000$", ended.out, re.MULTILINE)
    assert in_process("test", *typed_in(offered), "tasks=2").code == 0


def test_a_remedy_can_be_pasted(in_process: Any) -> None:
    assert in_process("train", *tiny(**QUICK), "hydra.run.dir='a run (1)'").code == 0
    again = in_process("train", *tiny(**QUICK), "hydra.run.dir='a run (1)'")
    assert again.err.endswith("\n  fix: go on with it: \"resume='a run (1)'\"\n")
    over = in_process("train", "resume=a run (1)")
    (offered,) = re.findall("or metalstm-test (.*) to test it again", over.err)
    assert typed_in(offered) == ["run='a run (1)'"]


# Paths that are typed


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_typed_for_a_path_is_that_path(name: str) -> None:
    given = name if name[0] != "'" else f"./{name}"  # what begins with Hydra's quotes is Hydra's
    wanted = given if name not in ("null", "a${b}") else None
    if name == "a${b}":  # OmegaConf's own, which names another setting
        given, wanted = r"a\${b}", "a${b}"
    assert value(readable([f"init_from={given}"])[0]) == wanted


@pytest.mark.parametrize("written", ["'a b'", '"a b"', r"a\ b", "a b"])
def test_what_hydra_reads_stays_hydras(written: str) -> None:
    assert as_mapping(composed("train", [f"init_from={written}"]))["init_from"] == "a b"
    assert readable([f"init_from={written}", "-m", "ways=5,20", "seed"]) == [
        f"init_from={written}",
        "-m",
        "ways=5,20",
        "seed",
    ]


def test_commas_part_values_in_a_sweep_alone() -> None:
    assert readable(["init_from=a,b"]) == ["init_from='a,b'"]
    assert readable(["init_from=a,b"], sweep=True) == ["init_from=a,b"]
    assert readable(["init_from=~/a,b"], sweep=True) == ["init_from='~/a',b"]
    assert readable(["init_from=choice(a,b)"], sweep=True) == ["init_from=choice(a,b)"]


def test_other_settings_show_the_quotes_that_they_need(in_process: Any) -> None:
    ended = in_process("train", "device=cuda (0)")
    (form,) = re.findall("fix: quote the value for Hydra, and all of it for the shell: (.*)", ended.err)
    assert typed_in(form) == ["device='cuda (0)'"]
    assert "cannot be used here" in in_process("train", *typed_in(form)).err


@pytest.mark.parametrize(
    ("given", "said"), [("", "is empty"), ("a\nb", "cannot be printed"), ("a\0b", "cannot be printed")]
)
def test_no_path_at_all(given: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("output_dir", "resume", "init_from"):
        with pytest.raises(ConfigError, match=f"{name}.*{said}"):
            meta_train(f"{name}={given}")
    with pytest.raises(ConfigError, match=f"run.*{said}"):
        load(given)


def test_arguments_that_are_no_path(in_process: Any, process: Any, tmp_path: Path) -> None:
    for argument in ("", "~nobody-is-called-so/x"):
        for program in ("metalstm-runs", "metalstm-report"):
            ended = process(program, argument, cwd=tmp_path)
            assert (ended.code, ended.err.startswith("error: ")) == (2, True), ended


# Home


def test_every_path_is_known_as_one() -> None:
    named = {"dataset.root", "output_dir", "resume", "init_from", "run", "support", "query", "out", "export"}
    assert named | {"dataset_root", "hydra.run.dir", "hydra.sweep.dir"} == PATHS


def test_home(home: Path) -> None:
    settings = train_settings(composed("train", ["dataset=omniglot", "dataset.root=~/x", "output_dir='~/o'"]))
    assert (settings.dataset.root, settings.output_dir) == (str(home / "x"), str(home / "o"))
    assert expanded("./~/x") == expanded(expanded("./~/x")) == Path.cwd() / "~" / "x"
    assert Run("~/x").path == home / "x"
    assert understood(["outer_lr=interval(0.1,1)", "search=~/s"])[1] == home / "s"
    assert understood(["outer_lr=interval(0.1,1)", "output_dir=~/o"])[1].parent == home / "o" / "searches"


@pytest.mark.parametrize("name", sorted(PATHS - {"dataset.root"}))
def test_a_home_that_nobody_has(name: str, in_process: Any) -> None:
    program = {"run": "test", "dataset_root": "test"}.get(name, "adapt")
    program = "train" if name in ("output_dir", "resume", "init_from", "hydra.run.dir", "hydra.sweep.dir") else program
    others = {"test": ["run=x"], "adapt": ["run=x", "support=x"], "train": []}[program]
    ended = in_process(program, *others, f"{name}=~nobody-is-called-so/x")
    assert ended.code == 2
    assert f"{name}=~nobody-is-called-so/x: " in ended.err
    assert "Traceback" not in ended.err


WITH_A_ROOT = {
    "audio.speech_commands": {},
    "images.cifar_fs": {"download": False},
    "images.omniglot": {"download": False},
    "own.folder": {},
    "series.ecg": {},
    "series.terrain": {},
    "text.clinc150": {},
    "text.movietweetings": {},
}


def test_every_dataset_with_a_root_is_tried() -> None:
    configs = (CONFIGS / "dataset").glob("*.yaml")
    with_a_root = {config.stem for config in configs if "root" in yaml.safe_load(config.read_text(encoding="utf-8"))}
    assert {module.split(".")[1] for module in WITH_A_ROOT} == with_a_root


@pytest.mark.parametrize(("module", "others"), WITH_A_ROOT.items())
def test_a_home_that_nobody_has_as_the_data_of_python(module: str, others: dict[str, Any]) -> None:
    name = module.split(".")[1]
    load = getattr(import_module(f"metalstm.datasets.{module}"), f"load_{name}")
    with pytest.raises(DataError, match=r"dataset\.root=~nobody-is-called-so"):
        load(Path("~nobody-is-called-so/x"), **others)


@pytest.mark.parametrize("name", [module.split(".")[1] for module in WITH_A_ROOT])
def test_a_home_that_nobody_has_as_the_data_of_a_run(name: str, in_process: Any) -> None:
    ended = in_process("train", f"dataset={name}", "dataset.root=~nobody-is-called-so/x")
    assert (ended.code, "Traceback" in ended.err) == (2, False)
    assert "dataset.root=~nobody-is-called-so/x: " in ended.err


def test_a_run_at_home(in_process: Any, home: Path) -> None:
    assert in_process("train", *tiny(**QUICK), "hydra.run.dir=~/a run").code == 0
    assert only_run(home) == home / "a run"
    assert in_process("test", "run=~/a run", "tasks=2").code == 0
    assert not Path("~").exists()


def test_a_sweep_at_home(in_process: Any, home: Path) -> None:
    assert in_process("train", "-m", *tiny(**QUICK), "output_dir=~/o").code == 0
    assert len(list((home / "o" / "sweeps").glob("*/job/result.json"))) == 1
    assert not Path("~").exists()


# A run from another folder


def test_a_run_keeps_its_paths_from_the_root(in_process: Any, tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tables.parent)
    given = [*tiny(**QUICK | {"ways": 2, "dataset.classes": None}), "train_queries=1", "queries=1", "dataset=folder"]
    assert in_process("train", *given, f"dataset.root={tables.name}", "output_dir=runs").code == 0
    run = only_run(tables.parent)
    kept = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert (kept["dataset"]["root"], kept["output_dir"]) == (str(tables), str(tables.parent / "runs"))
    monkeypatch.chdir(tables)
    assert in_process("test", f"run={run}", "tasks=2").code == 0
    assert load(run).dataset.fingerprint == load(run, dataset_root=str(tables)).dataset.fingerprint
    same = in_process("train", f"resume={run}", "steps=2", "output_dir=../runs")
    assert (same.code, re.findall("changed: (.*)", same.out)) == (0, ["steps from 1 to 2"])


def test_a_run_of_before_with_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = {"dataset": {"root": "data", "split_seed": 1}, "output_dir": "outputs", "init_from": None, "ways": 5}
    now = {"dataset": {"root": str(tmp_path / "data"), "split_seed": 1}, "output_dir": str(tmp_path / "outputs")}
    assert from_the_root(before) == {**now, "init_from": None, "ways": 5}
    assert from_the_root({"dataset.root": "data"}) == {"dataset.root": str(tmp_path / "data")}
    assert from_the_root(from_the_root(before)) == from_the_root(before)


def test_a_sweep_of_before_with_relative_paths_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = Job(tmp_path / "job", ("dataset=omniglot", "dataset.root=data"), {})
    job.path.mkdir()
    settings = plain(train_settings(composed("train", job.overrides)))
    OmegaConf.save(settings, job.path / "config.yaml")
    checked_settings(job, partial(composed, "train"))
    OmegaConf.save(from_the_root(settings), job.path / "config.yaml")
    checked_settings(job, partial(composed, "train"))
    OmegaConf.save(settings | {"dataset": settings["dataset"] | {"root": "other"}}, job.path / "config.yaml")
    with pytest.raises(ConfigError, match=f"dataset.root={tmp_path}/other"):
        checked_settings(job, partial(composed, "train"))


def test_the_words_of_a_sweep_that_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    from metalstm.sweeps.launch import again

    monkeypatch.setattr("sys.argv", ["/usr/bin/metalstm-train", "-m", "output_dir=a b", "seed=0,1"])
    assert shlex.split(again().split(": ")[1]) == ["metalstm-train", "-m", "output_dir=a b", "seed=0,1"]
