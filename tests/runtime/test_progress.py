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
import time
import types

import pytest

from metalstm.config.text import duration
from metalstm.runtime.progress import AHEAD, Progress


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
    monkeypatch.setattr("metalstm.runtime.progress.time.monotonic", lambda: next(clock))
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
    monkeypatch.setattr("metalstm.runtime.progress.time.monotonic", lambda: now)
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


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Phases after meta-training: 45 s in all."""
    phases = {"meta-train": 100.0, "meta-test": 15.0, "from scratch, sgd": 10.0, "from scratch, adam": 20.0}
    monkeypatch.setattr(AHEAD, "phases", phases)
    return phases


def test_the_time_left_is_that_of_the_whole_run(
    ahead: dict[str, float], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter((0.0, 8.0, 10.0))
    monkeypatch.setattr("metalstm.runtime.progress.time.monotonic", lambda: next(clock))
    assert [line.rsplit("  ", 1)[1] for line in lines(caplog, [8, 10])] == ["47 s left", "45 s left"]
    assert (AHEAD.after("meta-test"), AHEAD.after("from scratch, adam"), AHEAD.after("reset")) == (30, 0, 0)
    assert str(AHEAD) == "meta-train 100 s".replace("100 s", "2 min") + ", meta-test 15 s, from scratch 30 s"


def test_the_first_estimate_has_all_phases(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(AHEAD, "phases", {})
    monkeypatch.setattr("metalstm.runtime.progress.time.monotonic", lambda: now)

    def forecast() -> dict[str, float]:
        nonlocal now
        now += 7  # which is not counted as meta-training
        return {"meta-test": 30.0}

    with caplog.at_level(logging.INFO, "metalstm"):
        progress = Progress("meta-train", 61, every=50, first=10, forecast=forecast)
        for step in range(1, 51):
            now += 1
            progress.advance(step)
    assert [record.getMessage() for record in caplog.records] == [
        "meta-train takes about 51 s more, as its first 10 steps go, "
        "and the whole run 81 s: meta-train 51 s, meta-test 30 s",
        "meta-train 50/61  1.0/s  41 s left",
    ]


def test_a_pause_is_another_phases(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 1.0, 6.0, 9.0))
    monkeypatch.setattr("metalstm.runtime.progress.time.monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO, "metalstm"), Progress("meta-train", 8, every=4) as progress:
        with progress.paused():
            pass
        progress.advance(4)
    assert caplog.messages == ["meta-train 4/8  1.0/s  4 s left"]


def test_never_silent_for_longer_than_a_period(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, ahead: dict[str, float]
) -> None:
    monkeypatch.setattr("metalstm.runtime.progress.PERIOD", 0.05)
    with caplog.at_level(logging.INFO, "metalstm"), Progress("meta-test", 10, every=None) as progress:
        while len(caplog.records) < 2:  # in a single long step
            time.sleep(0.01)
        progress.advance(5)
        progress.advance(10)
    assert caplog.messages[0] == "meta-test 0/10  0 s so far  45 s left"
    assert caplog.messages[-1].startswith("meta-test 10/10  ")


def test_a_short_phase_that_nobody_waits_for_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "metalstm"), Progress("reading images", 3, every=None) as progress:
        for done in (1, 2, 3):
            progress.advance(done)
    assert caplog.records == []
    assert not progress.watch.is_alive()


@pytest.mark.parametrize(
    ("seconds", "digits", "words"),
    [
        (0.4, 0, "0 s"),
        (99, 0, "99 s"),
        (100, 0, "2 min"),
        (5940, 0, "99 min"),
        (6000, 0, "1 h 40 min"),
        (90000, 0, "25 h 00 min"),
        (0.44, 1, "0.4 s"),
        (750, 1, "12.5 min"),
        (6029, 1, "1 h 40 min"),
    ],
)
def test_durations(seconds: float, digits: int, words: str) -> None:
    assert duration(seconds, digits) == words
