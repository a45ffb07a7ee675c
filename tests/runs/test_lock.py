"""One process at a time in a run directory."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metalstm.errors import ConfigError
from metalstm.runs.lock import HOLDER, LOCK, RunLock
from support.commands import only_run, tiny

pytestmark = pytest.mark.usefixtures("no_figures")

HOLD = """
import sys
from pathlib import Path
from metalstm.runs.lock import RunLock

with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holds() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Starts a process that has the lock of a run until its standard input ends."""
    started: list[subprocess.Popen[str]] = []

    def start(path: Path) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], text=True, **pipes)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_the_second_one_is_told_who_the_first_is(holds: Any, tmp_path: Path) -> None:
    holder = holds(tmp_path)
    said = rf"{tmp_path} is in use by process {holder.pid} on {socket.gethostname()}, since 20\d\d-"
    with pytest.raises(ConfigError, match=said), RunLock(tmp_path):
        pass
    holder.communicate()
    with RunLock(tmp_path):
        assert json.loads((tmp_path / HOLDER).read_text(encoding="utf-8"))["pid"] == os.getpid()
    assert not (tmp_path / HOLDER).exists()


def test_a_holder_that_is_not_known(holds: Any, tmp_path: Path) -> None:
    holds(tmp_path)
    (tmp_path / HOLDER).write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="is in use by another process"), RunLock(tmp_path):
        pass


def test_a_killed_one_blocks_nobody(holds: Any, tmp_path: Path) -> None:
    holder = holds(tmp_path)
    holder.kill()
    holder.wait()
    assert (tmp_path / HOLDER).exists()
    with RunLock(tmp_path):
        pass


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def refuse(self: Any, **how: Any) -> None:
        raise NotImplementedError("no flock")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with caplog.at_level("WARNING", "metalstm"), RunLock(tmp_path):
        pass
    assert f"{tmp_path} cannot be locked (no flock)" in caplog.text


def test_a_run_in_use_is_not_resumed(
    holds: Any,
    in_process: Any,
) -> None:
    assert in_process("train", *tiny(scratch_tasks=0, outer_schedule="constant")).code == 0
    path = only_run(Path())
    holder = holds(path)
    before = {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    ended = in_process("train", f"resume={path}", "steps=7")
    assert ended.code == 2
    assert ended.err.startswith(f"error: {path} is in use by process {holder.pid} on ")
    assert {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    assert in_process("test", f"run={path}", "tasks=2").code == 0  # reading it is allowed
    holder.communicate()
    assert in_process("train", f"resume={path}", "steps=7").code == 0


def test_what_a_killed_one_left_is_removed(tmp_path: Path) -> None:
    kept = tmp_path / "result.json.tmp"
    for path in (kept, tmp_path / ".config.yaml.0123456789ab.tmp"):
        path.touch()
    with RunLock(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {kept.name, LOCK, HOLDER}
