"""The run directory goes away under a run: it ends with exit 4 and words, and writes into no other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metalstm.errors import CheckpointError
from metalstm.runs.lock import RunLock
from metalstm.runs.metrics import MetricsFile
from support.commands import tiny


def replace(run: Path) -> None:
    run.rename(run.with_name("moved"))
    run.mkdir()


def replace_by_file(run: Path) -> None:
    shutil.rmtree(run)
    run.touch()


REMOVALS: dict[str, Callable[[Path], Any]] = {
    "removed": shutil.rmtree,
    "with all around it": lambda run: shutil.rmtree(run.parents[1]),
    "moved": lambda run: run.rename(run.with_name("moved")),
    "replaced": replace,
    "replaced by a file": replace_by_file,
}


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[Path], Any]], list[Path]]:
    """`at_step(3, remove)` calls a function with the run directory after a training step."""

    def prepare(wanted: int, call: Callable[[Path], Any]) -> list[Path]:
        real, called = MetricsFile.record, []

        def record(self: MetricsFile, step: int, split: str, values: Any) -> None:
            real(self, step, split, values)
            if step == wanted and split == "meta_train":
                called.append(self.path.parent)
                call(self.path.parent)

        monkeypatch.setattr(MetricsFile, "record", record)
        return called

    return prepare


@pytest.mark.parametrize("how", REMOVALS)
@pytest.mark.parametrize("step", [1, 4])
def test_removed_between_two_saves(how: str, step: int, at_step: Any, in_process: Any) -> None:
    called = at_step(step, REMOVALS[how])
    ended = in_process("train", *tiny(test_tasks=0))
    (run,) = called
    assert ended.code == 4
    assert ended.err.startswith(f"error: {run} is gone: removed, moved or replaced while the run was writing\n  fix: ")
    assert not run.is_dir() or list(run.iterdir()) == []


@pytest.mark.parametrize("name", ["metrics.jsonl", "train.log"])
def test_a_file_that_is_written_is_removed(name: str, at_step: Any, in_process: Any) -> None:
    """All that was trained is saved first, and can be gone on with."""
    called = at_step(3, lambda run: (run / name).unlink())
    ended = in_process("train", *tiny())
    (run,) = called
    assert ended.code == 4
    assert ended.err.startswith(f"error: {run / name} is gone")
    assert (run / "checkpoints" / "step_00000004").is_dir()
    ended = in_process("train", f"resume={run}")
    assert (ended.code, "meta-train from step 4" in ended.out) == (0, True)
    assert (name == "metrics.jsonl") == ("metrics.jsonl is gone, and 5 lines with it" in ended.out)


@pytest.mark.parametrize("how", REMOVALS)
def test_removed_before_the_result(how: str, in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from metalstm.experiment import finish

    real = finish.write

    def write(session: Any, *given: Any) -> None:
        REMOVALS[how](session.path)
        real(session, *given)

    monkeypatch.setattr(finish, "write", write)
    ended = in_process("train", *tiny(scratch_tasks=0))
    assert ended.code == 4
    assert "is gone: removed, moved or replaced" in ended.err
    shown = ended.out.split("warning: this could not be written:\n")[1].splitlines()[0]
    assert json.loads(shown)["tasks"] == 6


def test_removed_after_the_result(in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metalstm.experiment.finish.draw_missing", lambda run: shutil.rmtree(run) or [])
    ended = in_process("train", *tiny(scratch_tasks=0))
    assert ended.code == 4
    assert "is gone: removed, moved or replaced" in ended.err


def test_a_folder_with_the_same_number_is_another(tmp_path: Path) -> None:
    """File systems give the number of a removed folder to the next one."""
    run = tmp_path / "run"
    run.mkdir()
    with RunLock(run) as held:
        held.check()
        for _ in range(20):
            shutil.rmtree(run)
            run.mkdir()
            with pytest.raises(CheckpointError, match=r"run is gone"):
                held.check()
    assert list(run.iterdir()) == []


@pytest.mark.parametrize("name", ["config.yaml", "run.json"])
def test_a_config_that_is_removed_is_written_again(name: str, at_step: Any, in_process: Any) -> None:
    called = at_step(3, lambda run: (run / name).unlink())
    ended = in_process("train", *tiny())
    (run,) = called
    assert (ended.code, ended.err) == (0, "")
    assert f"warning: {name} is gone from {run}; written again" in ended.out
    assert in_process("test", f"run={run}", "tasks=2").code == 0
