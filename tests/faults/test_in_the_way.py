"""A pipe, a folder or a link to nowhere where a file of a run should be: said, and nobody waits for it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.commands import tiny

IN_THE_WAY: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "link": lambda path: path.symlink_to("nowhere/at/all"),
}
NEWEST = "checkpoints/step_00000004/state.pt"  # the run goes on from the one before


@contextmanager
def not_for_ever() -> Iterator[None]:
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)


@pytest.fixture
def run(in_process: Any) -> Path:
    given = tiny(steps=4, checkpoint_every=2, validate_every=2, test_tasks=0, scratch_tasks=0)
    assert in_process("train", *given, "hydra.run.dir=run").code == 0
    return Path("run")


@pytest.mark.parametrize("kind", IN_THE_WAY)
@pytest.mark.parametrize("name", ["config.yaml", "run.json", "metrics.jsonl", "train.log", NEWEST])
def test_resuming(kind: str, name: str, run: Path, in_process: Any) -> None:
    file = run / name
    file.unlink()
    IN_THE_WAY[kind](file)
    with not_for_ever():
        ended = in_process("train", "resume=run", "steps=5")
    assert ended.code == (0 if name == NEWEST else 4), ended
    assert ("step_00000004 is broken" if name == NEWEST else name) in ended.out + ended.err
    assert "make room" not in ended.err


@pytest.mark.parametrize("kind", IN_THE_WAY)
def test_what_lists_runs_waits_for_none(kind: str, run: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from metalstm.cli import runs

    whole = shutil.copytree(run, "whole")
    for name in ("config.yaml", "metrics.jsonl", "train.log"):
        (run / name).unlink(missing_ok=True)
        IN_THE_WAY[kind](run / name)
    monkeypatch.setattr("sys.argv", ["metalstm-runs", ".", "--json"])
    with not_for_ever():
        runs.main()
    states = {listed["path"]: listed["state"] for listed in json.loads(capsys.readouterr().out)}
    assert states == {str(run): "interrupted", str(whole): "trained"}
