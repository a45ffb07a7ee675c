"""A screen that hangs up, is closed, full, or cannot show a letter: a run is saved, or goes on without it."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metalstm.runs.listing import listed
from support.commands import tiny

LONGER = {"steps": 150, "validate_every": 50, "checkpoint_every": 50, "log_every": 2, "scratch_tasks": 0}


@pytest.fixture
def command(tmp_path: Path, cache_home: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """`command("train", *arguments, **of_popen)` starts a command as a shell would."""

    def start(name: str, *arguments: str, env: dict[str, str] | None = None, **given: Any) -> subprocess.Popen[bytes]:
        program = Path(sys.executable).with_name(f"metalstm-{name}")
        environment = os.environ | {"XDG_CACHE_HOME": str(cache_home), "PYTHONUNBUFFERED": ""} | (env or {})
        return subprocess.Popen([program, *arguments], cwd=tmp_path, env=environment, **given)

    return start


def closed_pipe() -> int:
    """The end to write to of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def log_of(folder: Path) -> str:
    (log,) = folder.rglob("train.log")
    return log.read_text(encoding="utf-8")


@pytest.mark.parametrize(("open_screen", "why"), [(closed_pipe, "Broken pipe"), (None, "No space left on device")])
def test_a_run_goes_on_without_a_screen(open_screen: Any, why: str, command: Any, tmp_path: Path) -> None:
    screen = closed_pipe() if open_screen else os.open("/dev/full", os.O_WRONLY)
    running = command("train", *tiny(scratch_tasks=0), stdout=screen, stderr=screen, stdin=subprocess.DEVNULL)
    os.close(screen)
    assert running.wait(100) == 0
    assert [run.state for run in listed(tmp_path)] == ["finished"]
    assert log_of(tmp_path).count("the screen is gone") == 1
    assert f"{why}; the run goes on without it" in log_of(tmp_path)


def test_streams_that_were_closed_before(command: Any, tmp_path: Path) -> None:
    running = command("train", *tiny(scratch_tasks=0), preexec_fn=lambda: os.closerange(0, 3))
    assert running.wait(100) == 0
    assert [run.state for run in listed(tmp_path)] == ["finished"]


def on_a_terminal(command: Any, ignored: bool, *arguments: str) -> subprocess.Popen[bytes]:
    """Starts a run at a terminal of its own, which is closed when it has shown a step."""
    ours, theirs = os.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    running: subprocess.Popen[bytes] = command(
        "train", *arguments, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=take_terminal
    )
    os.close(theirs)
    shown = b""
    while b"meta-train " not in shown.partition(b"meta-train from")[2]:
        shown += os.read(ours, 1000)
    os.close(ours)
    return running


def test_the_terminal_hangs_up(command: Any, tmp_path: Path) -> None:
    assert on_a_terminal(command, False, *tiny(**LONGER)).wait(100) == 129
    (run,) = listed(tmp_path)
    assert run.state == "interrupted"
    assert "Traceback" not in log_of(tmp_path)
    assert command("train", f"resume={run.path}", stdout=subprocess.DEVNULL).wait(100) == 0
    assert [run.state for run in listed(tmp_path)] == ["finished"]


def test_the_terminal_is_gone_and_a_hang_up_ignored(command: Any, tmp_path: Path) -> None:
    assert on_a_terminal(command, True, *tiny(**LONGER)).wait(100) == 0
    assert [run.state for run in listed(tmp_path)] == ["finished"]
    assert log_of(tmp_path).count("the screen is gone: [Errno 5] Input/output error") == 1


def test_a_hang_up_is_sent_to_a_run_under_nohup(command: Any, tmp_path: Path) -> None:
    ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN), "stdout": subprocess.DEVNULL}
    running = command("train", *tiny(**LONGER), **ignoring)
    while not list(tmp_path.rglob("metrics.jsonl")):
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(signal.SIGHUP)
    assert running.wait(100) == 0


@pytest.mark.parametrize("arguments", [("runs",), ("report", "--help"), ("train", "--help")])
def test_who_reads_has_had_enough(arguments: tuple[str, ...], command: Any, a_run: Path) -> None:
    screen = closed_pipe()
    running = command(*arguments, stdout=screen, stderr=subprocess.PIPE)
    os.close(screen)
    assert running.communicate(timeout=60)[1] == b""
    assert running.returncode == 141


def test_a_table_that_finds_no_room(command: Any, a_run: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        running = command("runs", stdout=full, stderr=subprocess.PIPE)
    said = running.communicate(timeout=60)[1].decode()
    assert running.returncode == 2
    words = "error: the output cannot be written or read: No space left on device\n  fix: send the output"
    assert said.startswith(words)


@pytest.fixture
def a_run(tmp_path: Path) -> Path:
    """A run directory with a result, and a name that is not UTF-8."""
    path = tmp_path / "outputs" / os.fsdecode(b"caf\xe9")
    path.mkdir(parents=True)
    (path / "run.json").write_text('{"format": 1}', encoding="utf-8")
    (path / "result.json").write_text('{"metric": "accuracy", "value": 0.5, "ci95": 0.1}', encoding="utf-8")
    return path


SCREENS = [
    {"PYTHONIOENCODING": "iso8859-2"},
    {"PYTHONIOENCODING": "cp866"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "utf-8:strict"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


@pytest.mark.parametrize("env", SCREENS, ids=lambda env: next(iter(env.values())))
def test_a_screen_that_lacks_letters(env: dict[str, str], command: Any, a_run: Path) -> None:
    running = command("runs", env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, b"")
    assert b"accuracy 50.00 " in out
    assert b"caf" in out


def test_a_run_on_a_screen_that_lacks_letters(command: Any, tmp_path: Path) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = command("train", *tiny(scratch_tasks=0), env={"PYTHONIOENCODING": "ascii"}, **pipes)
    out, err = running.communicate(timeout=100)
    assert (running.returncode, err) == (0, b"")
    assert b"step 3: meta_validation/accuracy 0." in out
    assert b" ? " in out
    assert " ± " in log_of(tmp_path)
