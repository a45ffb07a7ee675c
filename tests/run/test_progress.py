"""Progress: plain lines now and then where there is no terminal, a bar where there is one."""

from __future__ import annotations

import io
import logging
import sys
import types

import pytest

from metalstm.run.progress import Progress


def lines(caplog: pytest.LogCaptureFixture, done: list[int], *, start: int = 0, every: int = 4) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.INFO, "metalstm"):
        progress = Progress("meta-train", 10, start, every)
        for step in done:
            progress.advance(step, {"loss": 1.23456, "accuracy": 0.5})
        progress.close()
    return [record.getMessage() for record in caplog.records]


def test_a_line_every_so_many_steps_and_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    shown = lines(caplog, list(range(1, 11)))
    assert [line.split("  ")[0] for line in shown] == ["meta-train 4/10", "meta-train 8/10", "meta-train 10/10"]
    assert "loss 1.235  accuracy 0.500" in shown[0]
    assert shown[-1].endswith("0 s left")


def test_steps_may_come_several_at_a_time(caplog: pytest.LogCaptureFixture) -> None:
    assert [line.split("  ")[0] for line in lines(caplog, [3, 7, 10])] == ["meta-train 7/10", "meta-train 10/10"]


def test_a_resumed_run_counts_on(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 2.0, 4.0))
    monkeypatch.setattr("metalstm.run.progress.time.monotonic", lambda: next(clock))
    first, last = lines(caplog, [8, 10], start=6)
    assert first.endswith("1.0/s  2 s left")  # two steps of its own in two seconds
    assert last.endswith("1.0/s  0 s left")


def test_nothing_but_whole_lines_without_a_terminal(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    lines(caplog, [5, 10])
    assert capsys.readouterr().err == ""


def test_a_bar_in_a_notebook(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    assert lines(caplog, [5, 10]) == []
    assert "10/10" in capsys.readouterr().err


def test_a_bar_on_a_terminal(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    assert lines(caplog, [5, 10]) == []
    assert "meta-train" in sys.stderr.getvalue()
    assert "10/10" in sys.stderr.getvalue()
