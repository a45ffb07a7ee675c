"""`--help` teaches: what there is to choose, and every setting with its value and its meaning."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from metalstm.cli.help import GROUPS, Sources, help_text
from metalstm.config.compose import setting_names

CHOICES = [
    (group, path.name.removesuffix(".yaml"))
    for group in GROUPS
    for path in sorted(files("metalstm.configs").joinpath(group).iterdir(), key=lambda path: path.name)
    if path.name.endswith(".yaml")
]


def explained(text: str) -> dict[str, str]:
    """For each `name=value` of a help text, what is said of it, or the beginning of that."""
    rows = re.findall(r"^  (\S+=\S*)(?: {2,}|\n {36})(\S.*)$", text, re.MULTILINE)
    return dict(rows)


@pytest.fixture(scope="module")
def train_help() -> str:
    with mock.patch.dict(os.environ, COLUMNS="120"):
        return help_text("train", [])


def test_what_is_there_to_choose(train_help: str) -> None:
    said = explained(train_help)
    assert len(CHOICES) > 25
    for group, choice in CHOICES:
        assert len(said[f"{group}={choice}"]) > 20, (group, choice)
    assert (
        said["dataset=glyphs"] == "Procedural handwritten characters, made in seconds from a seed; nothing to download."
    )


@pytest.mark.parametrize("command", ["train", "test", "adapt"])
def test_every_setting_has_its_value_and_its_meaning(command: str) -> None:
    said = {setting.split("=")[0]: meaning for setting, meaning in explained(help_text(command, [])).items()}
    groups = set(GROUPS) if command == "train" else set()
    wanted = {name for name in setting_names(command) if name not in GROUPS and name.split(".")[-1] != "name"}
    assert set(said) - groups == wanted - {"experiment"}
    assert all(said.values())


@pytest.mark.parametrize(("group", "choice"), [pair for pair in CHOICES if pair[0] != "experiment"])
def test_every_choice_explains_its_settings(group: str, choice: str) -> None:
    text = help_text("train", [f"{group}={choice}"])
    section = re.search(rf"^{group.upper()}={choice}\n((?:  .*\n)+)", text, re.MULTILINE)
    own = set(re.findall(r"^(\w+):", Sources.of([]).text(f"{group}/{choice}"), re.MULTILINE)) - {"name", "defaults"}
    found = explained(section.group(1)) if section else {}
    assert {setting.split("=")[0] for setting in found} >= {f"{group}.{name}" for name in own}
    assert all(found.values())


def test_settings_stand_as_they_are_chosen(train_help: str) -> None:
    chosen = help_text("train", ["ways=20", "experiment=sinusoid_mlp", "--help", "learner.inner_steps=7"])
    assert "  ways=5 " in train_help
    assert "  ways=20 " in chosen
    assert "  model.width=40 " in chosen
    assert "  learner.inner_steps=7 " in chosen


def test_what_is_required_and_the_sections(train_help: str) -> None:
    assert "  run=... " in help_text("test", [])
    headings = re.findall(r"^[A-Z][A-Z ,=\w]*$", train_help, re.MULTILINE)
    for heading in ("EXAMPLES", "DATASETS", "LEARNERS", "THE TASK", "META-TEST", "THE MACHINE", "LEARNER=maml"):
        assert any(line.startswith(heading) for line in train_help.splitlines()), (heading, headings)
    assert "$$" not in train_help
    assert "install=bash" in train_help


def test_an_unknown_choice_in_it(in_process: Any) -> None:
    ended = in_process("train", "learner=nope", "--help")
    assert ended.code == 2
    assert ended.err.startswith("error: learner=nope is unknown")


def test_configs_of_ones_own(in_process: Any) -> None:
    for file, text in {
        "dataset/mine.yaml": "# My own drawings.\ndefaults:\n  - glyphs\n  - _self_\nclasses: 33 # not many\n",
        "mine.yaml": "defaults:\n  - train\n  - _self_\nsteps: 77\n",
        "extra/more.yaml": "# @package _global_\n# More of it.\nways: 9\n",
    }.items():
        path = Path("conf", file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    given = ("dataset=mine", "+extra=more")
    ended = in_process("train", "--config-dir", "conf", "--config-name", "mine", *given, "--help")
    assert (ended.code, ended.err) == (0, "")
    said = explained(ended.out)
    assert said["dataset=mine"] == "My own drawings."
    assert said["dataset.classes=33"] == "not many"
    assert said["dataset.examples=20"]  # explained by what it is made of
    assert said["steps=77"] == "of the outer loop"
    assert "  ways=9 " in ended.out
    assert "EXTRAS\n  extra=more                        More of it.\n" in ended.out
    assert explained(in_process("train", "-cd=conf", *given, "-h").out)["dataset.classes=33"] == "not many"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--config-dir", "nowhere"], "error: --config-dir: there is no folder "),
        (["--config-name", "nothing"], "error: --config-name=nothing: there is no such config\n  fix: name a file"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--help"]])
def test_no_such_configs(given: list[str], words: str, more: list[str], in_process: Any) -> None:
    ended = in_process("train", *given, *more)
    assert (ended.code, ended.err.startswith(words)) == (2, True), ended.err


@pytest.mark.parametrize("command", ["train", "test", "adapt", "report", "runs", "search"])
def test_the_version_is_ours(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [f"metalstm-{command}", "--version"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"metalstm.cli.{command}").main()
    said = f"metalstm {metadata.version('metalstm')}, torch {metadata.version('torch')}\n"
    assert (ended.value.code, capsys.readouterr()) == (0, (said, ""))


def test_a_reader_that_has_enough_is_no_error(start: Any, tmp_path: Path) -> None:
    running = start("metalstm-train", "--help", cwd=tmp_path)
    running.stdout.close()
    assert (running.stderr.read(), running.wait(60)) == ("", 141)


def complete(line: str, bin_folder: Path, cwd: Path) -> list[str]:
    """What bash offers at the end of a line, once it has been told how."""
    script = f"""
        PATH={bin_folder}:$PATH
        eval "$(metalstm-train -sc install=bash)"
        COMP_LINE={line!r} COMP_POINT={len(line)} COMP_WORDS=({line}) COMP_CWORD={len(line.split()) - 1}
        hydra_bash_completion
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    ended = subprocess.run(["bash", "-c", script], cwd=cwd, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("metalstm-train model=", ["model=lstm", "model=mlp", "model=module"]),
        ("metalstm-train dataset=glyphs learner.inner_", ["learner.inner_lr=", "learner.inner_steps="]),
    ],
)
def test_bash_completes(line: str, offered: list[str], tmp_path: Path) -> None:
    assert complete(line, Path(sys.executable).parent, tmp_path) == offered
