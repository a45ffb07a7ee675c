"""A result is never thrown away: it is written before anything is drawn, and shown where it cannot be written."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from metalstm.cli import report
from metalstm.runs import layout
from support.commands import only_run, tiny

DRAWING = {
    "matplotlib": ("metalstm.reporting.figures.new_figure", ImportError("libfreetype.so.6: no version\nand more")),
    "backend": ("metalstm.reporting.figures.new_figure", ValueError("'nonsense' is not a valid value for backend")),
    "room": ("metalstm.reporting.figures.save", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
    "page": ("metalstm.reporting.page.page", RecursionError("too deep")),
    "gallery": ("metalstm.evaluation.meta_test.gallery", RuntimeError("no PNG")),
    "confusion": ("metalstm.evaluation.confusion.Confusion.content", MemoryError()),
}
WITHOUT = {"page": "report", "gallery": "gallery.json", "confusion": "confusion.json"}


def raising(error: Exception) -> Any:
    def fail(*given: Any, **named: Any) -> Any:
        raise error

    return fail


def reported(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> str:
    """What `metalstm-report RUN` says beside its table."""
    monkeypatch.setattr(sys, "argv", ["metalstm-report", str(run)])
    capsys.readouterr()
    report.main()
    return str(capsys.readouterr().err)


@pytest.mark.parametrize("what", DRAWING)
def test_what_cannot_be_drawn_costs_no_result(
    what: str, in_process: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    target, error = DRAWING[what]
    with monkeypatch.context() as broken:
        broken.setattr(target, raising(error))
        ended = in_process("train", *tiny(scratch_tasks=0))
    run = only_run(Path())
    name = WITHOUT.get(what, "figure")
    reason = f"warning: no {name}: {type(error).__name__}: {error}".splitlines()[0]
    assert (ended.code, ended.err) == (0, "")
    assert reason in ended.out
    assert json.loads((run / "result.json").read_text())["tasks"] == 6
    if name in ("figure", "report"):
        assert f"{reason}; metalstm-report {run} draws it later\n" in ended.out
    drawn = {"figure": f"figure    {run}/figures/adaptation_curve.png\n", "report": f"report    {run}/report.html\n"}
    assert reported(run, monkeypatch, capsys) == drawn.get(name, "")
    assert reported(run, monkeypatch, capsys) == ""


def test_a_figures_folder_that_takes_nothing(in_process: Any, monkeypatch: Any) -> None:
    real = layout.new_run_directory

    def with_a_file(parent: Path, name: str | None = None) -> Path:
        path = real(parent, name)
        (path / "figures").touch()
        return path

    monkeypatch.setattr(layout, "new_run_directory", with_a_file)
    ended = in_process("train", *tiny(scratch_tasks=0))
    assert (ended.code, "warning: no figure: FileExistsError: " in ended.out) == (0, True)
    assert (only_run(Path()) / "report.html").exists()


def test_a_figure_of_fewer_steps_does_not_stay(in_process: Any, monkeypatch: Any) -> None:
    assert in_process("train", *tiny(scratch_tasks=0)).code == 0
    run = only_run(Path())
    old = (run / "figures" / "adaptation_curve.png").stat().st_mtime_ns
    assert in_process("train", f"resume={run}", "steps=8").code == 0
    assert (run / "figures" / "adaptation_curve.png").stat().st_mtime_ns > old
    monkeypatch.setattr("metalstm.reporting.figures.new_figure", raising(ImportError("gone")))
    assert in_process("train", f"resume={run}", "steps=10").code == 0
    assert not (run / "figures" / "adaptation_curve.png").exists()


@pytest.fixture
def full_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`full_at("result.json")`: the disk is full when this file is to be written."""
    real = layout.write_atomically

    def prepare(name: str) -> None:
        def write(path: Path, data: bytes) -> None:
            if path.name == name:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(path, data)

        monkeypatch.setattr(layout, "write_atomically", write)

    return prepare


def shown(out: str) -> Any:
    return json.loads(out.split("warning: this could not be written:\n")[1].splitlines()[0])


@pytest.mark.parametrize("name", ["result.json", "per_task.json"])
def test_no_room_at_the_very_end(
    name: str,
    full_at: Any,
    in_process: Any,
) -> None:
    full_at(name)
    ended = in_process("train", *tiny(scratch_tasks=0))
    assert ended.code == 4
    assert ended.err.startswith(f"error: {only_run(Path())}/{name} could not be written: No space left on device\n")
    assert "accuracy" in ended.out
    assert shown(ended.out)["tasks"] == 6


@pytest.mark.parametrize("protocol", ["few_shot", "lifelong"])
def test_a_test_that_finds_no_room(
    protocol: str,
    full_at: Any,
    in_process: Any,
) -> None:
    assert in_process("train", *tiny(test_tasks=0, **{"dataset.classes": 48})).code == 0
    full_at("lifelong.json" if protocol == "lifelong" else "result.json")
    run = only_run(Path())
    ended = in_process("test", f"run={run}", "tasks=4", f"protocol={protocol}", "streams=2", "stream_tasks=2")
    assert ended.code == 4
    assert shown(ended.out)["learner"] == "maml"


@pytest.mark.parametrize("make", [Path.touch, lambda tests: tests.symlink_to("nowhere")])
def test_where_a_test_may_write_is_tried_before(make: Any, in_process: Any, monkeypatch: Any) -> None:
    assert in_process("train", *tiny(test_tasks=0)).code == 0
    run = only_run(Path())
    make(run / "tests")
    monkeypatch.setattr("metalstm.evaluation.meta_test.Evaluator.evaluate", lambda *given: pytest.fail("tested"))
    ended = in_process("test", f"run={run}", "tasks=4")
    assert ended.code == 2
    assert ended.err.startswith(f"error: the result would be written into {run}/tests, but that fails: No")


@pytest.mark.parametrize("given", ["out=/proc/mine.csv", "out=/dev/full", "export=/proc/mine.safetensors"])
def test_where_adapting_may_write_is_tried_before(given: str, in_process: Any) -> None:
    ended = in_process("adapt", "run=there_is_none", "support=a", "query=b", given)
    assert ended.code == 2
    assert ended.err.startswith(f"error: {given}")
