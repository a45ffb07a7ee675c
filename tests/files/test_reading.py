"""Files that somebody has damaged, or made to do harm: refused in words, and at once."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from metalstm.files.reading import LARGEST_JSON, Unreadable, read_json, read_yaml
from metalstm.runs.listing import described
from support.commands import only_run, tiny

LAUGHS = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 8)}]\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
MERGED = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 9)}], {new}: *{old}}}\n"
    for old, new in zip("abcde", "bcdef", strict=True)
)
BOMBS = {
    "laughs": (LAUGHS, "it stands for more than 5,000 values"),
    "merged": (MERGED, "it stands for more than 5,000 values"),
    "itself": ("a: &a [*a]\n", "it stands for more than 5,000 values"),
    "itself, in a mapping": ("&a ways: *a\nb: &b {c: {d: *b}}\n", "it stands for more than 5,000 values"),
    "many": ("- a\n" * 6000, "it stands for more than 5,000 values"),
    "deep": ("[" * 200 + "]" * 200, "it is nested more than 50 deep"),
    "deep lists": ("- " * 200, "it is nested more than 50 deep"),
    "large": ("a: " + "x" * 2**20, "it has more than 65,536 bytes"),
    "digits": ("a: " + "9" * 60_000, "it is no YAML: Exceeds the limit"),
    "odd tag": ("a: !!timestamp x", "it is no YAML"),
    "object": ("a: !!python/object/apply:os.getcwd []", "it is no YAML"),
    "cut off": ("a: [1, 2", "it is no YAML"),
}


@contextmanager
def at_once() -> Iterator[None]:
    begun = time.process_time()
    yield
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str, tmp_path: Path) -> None:
    text, said = BOMBS[name]
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    with at_once(), pytest.raises(Unreadable, match=said):
        read_yaml(tmp_path / "x.yaml")


@pytest.mark.parametrize("name", ["laughs", "itself", "deep", "large"])
@pytest.mark.parametrize(("command", "given"), [("train", "resume=run"), ("test", "run=run"), ("adapt", "run=run")])
def test_a_run_s_config(name: str, command: str, given: str, in_process: Any) -> None:
    Path("run").mkdir()
    Path("run/run.json").write_text('{"format": 1, "fingerprint": "0"}', encoding="utf-8")
    Path("run/config.yaml").write_text(BOMBS[name][0], encoding="utf-8")
    more = ["export=x.safetensors"] if command == "adapt" else []
    in_process(command, "run=nowhere")  # whatever is imported once
    with at_once():
        ended = in_process(command, given, *more)
    assert ended.code == 4, ended
    assert f"run is not a run directory: config.yaml: {BOMBS[name][1]}" in ended.err
    assert "fix: bring config.yaml back" in ended.err


@pytest.mark.parametrize(
    "given",
    [
        *(["--config-name", "bomb"], ["--config-name", "bomb.yaml", "ways=3"], ["learner=x"], ["learner=x", "--help"]),
        *(["learner=y"], ["-m", "learner=x,maml"], ["--config-name", "bomb", "--help"]),
    ],
)
def test_a_config_of_one_s_own(given: list[str], in_process: Any) -> None:
    Path("mine/learner").mkdir(parents=True)
    for file in ("mine/bomb.yaml", "mine/learner/x.yaml"):
        Path(file).write_text(LAUGHS, encoding="utf-8")
    Path("mine/learner/y.yaml").write_text("defaults:\n  - x\n", encoding="utf-8")
    in_process("train", "wasy=5")
    with at_once():
        ended = in_process("train", "--config-dir", "mine", *given)
    assert ended.code == 2, ended
    assert "cannot be read: it stands for more than 5,000 values" in ended.err


@pytest.mark.parametrize("more", [[], ["--help"], ["-m"], ["--cfg", "job"]])
def test_a_config_of_one_s_own_in_a_process_of_its_own(more: list[str], start: Any, tmp_path: Path) -> None:
    """Hydra loads its plugins as a process begins: what bounds them must come after."""
    (tmp_path / "mine/learner").mkdir(parents=True)
    (tmp_path / "mine/learner/x.yaml").write_text(LAUGHS, encoding="utf-8")
    running = start("metalstm-train", "--config-dir", "mine", "learner=x", *more, cwd=tmp_path)
    _, said = running.communicate(timeout=60)
    assert (running.returncode, "it stands for more than 5,000 values" in said) == (2, True), said


@pytest.mark.parametrize("dot", ["", "."])
@pytest.mark.parametrize("flags", [[], ["-m"], ["--cfg", "job", "--resolve"]])
def test_interpolations_are_bounded_before_they_are_resolved(dot: str, flags: list[str], in_process: Any) -> None:
    Path("mine").mkdir()
    bomb = "".join(f"a{i}: ${{{dot}a{i + 1}}}${{{dot}a{i + 1}}}\n" for i in range(40)) + "a40: x\n"
    text = f"defaults: [train, _self_]\n{bomb}output_dir: ${{a0}}\n"
    Path("mine/bomb.yaml").write_text(text, encoding="utf-8")
    with at_once():
        ended = in_process("train", "--config-dir", "mine", "--config-name", "bomb", *flags)
    assert ended.code == 2, ended
    assert "bomb.yaml: a30 stands for more than 65,536 letters" in ended.err


def test_a_circle_of_interpolations_and_a_few_of_them(in_process: Any) -> None:
    ended = in_process("train", "output_dir=${init_from}", "init_from=${output_dir}")
    assert (ended.code, "refers more than 50 deep" in ended.err) == (2, True), ended
    ended = in_process("train", "output_dir='${init_from}_${ways}_${dataset.name}'", "steps=0", "init_from=x")
    assert "error: steps=0" in ended.err


def test_interpolations_in_a_run_are_texts(
    in_process: Any,
) -> None:
    """Forty of them, each twice the one before, would be a terabyte."""
    assert in_process("train", *tiny(scratch_tasks=0, steps=1, test_tasks=0)).code == 0
    config = only_run(Path("outputs")) / "config.yaml"
    bomb = "".join(f"a{i}: ${{a{i + 1}}}${{a{i + 1}}}\n" for i in range(40)) + "a40: x\n"
    config.write_text(config.read_text(encoding="utf-8") + bomb, encoding="utf-8")
    ended = in_process("train", f"resume={config.parent}")
    assert (ended.code, ended.err.count("is no setting")) == (2, 41)


def test_json(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    for content, said in (
        (b"[" * 100_000, "it is nested too deep"),
        (b"9" * 10_000, "it is no JSON: Exceeds the limit"),
        (b"\xff{}", "it is no UTF-8"),
        (b"{", "it is no JSON"),
        (b" " * (LARGEST_JSON + 1), "it has more than 16,777,216 bytes"),
    ):
        file.write_bytes(content)
        with at_once(), pytest.raises(Unreadable, match=said):
            read_json(file)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, said in (("pipe", "it is no file"), ("nowhere", "No such file"), ("", "it is no file")):
        with pytest.raises(Unreadable, match=said):
            read_json(tmp_path / name)


def test_a_result_that_is_a_bomb(tmp_path: Path) -> None:
    for name, content in (("run.json", "{}"), ("result.json", "[" * 100_000)):
        (tmp_path / name).write_text(content, encoding="utf-8")
    assert described(tmp_path).result == "result.json cannot be read"


VALUES = [0.1, 1e-5, 1e30, "1e5", "1.5e5", "yes", "2026-01-31", "~", "", "a: b", "é", None, True, 5, "${a}", ".inf"]


@pytest.mark.parametrize("value", VALUES)
def test_a_config_is_read_as_it_was_written(value: Any, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(OmegaConf.to_yaml({"a": value}), encoding="utf-8")
    assert read_yaml(tmp_path / "x.yaml") == {"a": value}


def test_numbers_are_read_as_omegaconf_does(tmp_path: Path) -> None:
    text = "[1e-3, 1.5e5, 1E5, .5e1, +1e2, 1e5x, e5, 1_0, 0x10, .inf, 2026-01-31, 1:30, 1., 1_000e1]"
    (tmp_path / "x.yaml").write_text(f"a: {text}\n", encoding="utf-8")
    assert json.dumps(read_yaml(tmp_path / "x.yaml")) == json.dumps(
        OmegaConf.to_container(OmegaConf.create(f"a: {text}"))
    )
