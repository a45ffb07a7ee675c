"""Progress: plain lines now and then where there is no terminal, a bar where there is one."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import select
import struct
import sys
import termios
import types

import pytest

from metalstm.run.progress import Progress, duration


def lines(caplog: pytest.LogCaptureFixture, done: list[int], *, start: int = 0, every: int = 4) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.INFO, "metalstm"), Progress("meta-train", 10, start, every) as progress:
        for step in done:
            progress.advance(step, {"loss": 1.23456, "accuracy": 0.5})
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


@pytest.mark.parametrize(("columns", "bar"), [(100, True), (0, False)])
def test_a_bar_on_a_terminal_that_says_how_wide_it_is(
    columns: int, bar: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours, "rb"):
        monkeypatch.setattr(sys, "stderr", terminal)
        shown = lines(caplog, [5, 10])
        terminal.flush()
        drawn = ""
        while select.select([ours], [], [], 0.2)[0]:
            drawn += os.read(ours, 10_000).decode()
    assert (drawn != "", shown == []) == (bar, bar)
    if bar:
        last = drawn.rstrip().rsplit("\r", 1)[-1]
        assert last.startswith("meta-train 10/10 |")
        assert "| loss 1.235  accuracy 0.500  " in last
        assert last.endswith("/s  0 s left")


def test_how_long_it_takes_is_said_once_after_the_first_steps(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("metalstm.run.progress.time.monotonic", lambda: now)
    with caplog.at_level(logging.INFO, "metalstm"), Progress("meta-train", 1000, every=50, first=10) as progress:
        for step in range(1, 101):
            now += 30 if step == 1 else 0.5  # the first one compiles
            progress.advance(step, {})
            now += 20 if step == 60 else 0  # meta-validation
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "meta-train takes about 8 min more, as its first 10 steps go"
    assert [line.split("  ")[0] for line in said[1:]] == ["meta-train 50/1000", "meta-train 100/1000"]
    assert said[1].endswith("0.917/s  17 min left")  # 54.5 s for 50
    assert said[2].endswith("1.0/s  15 min left")


def test_where_the_end_is_near_nothing_is_estimated(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "metalstm"), Progress("meta-train", 49, every=50, first=10) as progress:
        for step in range(1, 49):
            progress.advance(step, {})
    assert caplog.records == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (5940, "99 min"), (6000, "1 h 40 min"), (90000, "25 h 00 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
