"""Many processes in the same instant: a directory for each run, and one process for each directory."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from metalstm.errors import ConfigError
from metalstm.runs.lock import RunLock
from stress.torture.run import Process
from stress.torture.together import killed_holder, started_at_once, winners
from stress.torture.workshop import Workshop


@pytest.mark.parametrize("coarse", [False, True])
def test_starts_in_the_same_instant(coarse: bool, tmp_path: Path) -> None:
    assert started_at_once(tmp_path / "runs", 50, coarse) == 50


def test_races_for_a_run_directory(tmp_path: Path) -> None:
    assert winners(tmp_path, 50, 3) == [1] * 50


def test_a_lock_that_locks_nothing_has_several_winners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunLock, "__enter__", lambda self: self)
    monkeypatch.setattr(RunLock, "__exit__", lambda *given: None)
    assert winners(tmp_path, 2, 3) == [3, 3]


def test_a_lock_left_by_a_killed_process_does_not_block(tmp_path: Path) -> None:
    killed_holder(tmp_path)
    assert winners(tmp_path, 2, 2) == [1, 1]


def test_another_process_is_refused_while_the_lock_is_held(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        pid = os.fork()
        if pid == 0:
            try:
                with RunLock(tmp_path):
                    os._exit(1)
            except ConfigError as error:
                os._exit(2 if f"process {os.getppid()} on " in str(error) else 3)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2


def directory_of(process: Process) -> Path:
    """The run directory that a process has named."""
    while not (said := re.search(r"^run +(.+)$", process.out, re.MULTILINE)):
        assert process.alive, process.err
        time.sleep(0.01)
    return Path(said.group(1))


@pytest.mark.slow
def test_real_commands(workshop: Workshop, tmp_path: Path) -> None:
    """Two started at once make two runs; a run in use is refused; one whose process was killed is not."""
    runs = [workshop.new_run("maml", output_dir=tmp_path, steps=10) for _ in range(2)]
    processes = [run.start() for run in runs]
    try:
        paths = []
        for process in processes:
            paths.append(directory_of(process))
            process.signal(signal.SIGSTOP)  # so that it is there for as long as the others take
        path, other = paths
        assert path != other
        processes[1].end()
        refused = Process([f"resume={path}"], tmp_path, runs[0].environment, "refused")
        assert refused.wait() == 2
        assert refused.err.startswith(f"error: {path} is in use by process {processes[0].pid} on ")
        processes[0].end()
        resumed = Process([f"resume={path}"], tmp_path, runs[0].environment, "resumed")
        assert resumed.wait() == 0, resumed.err
    finally:
        for process in processes:
            process.end()
