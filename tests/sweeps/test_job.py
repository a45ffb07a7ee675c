"""A job of a sweep: what it is started with, how it ended, and that it ends with its sweep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from metalstm.errors import CheckpointError
from metalstm.runtime.signals import Interruption
from metalstm.sweeps import job as jobs
from metalstm.sweeps.job import Failure, Job, Owner, born, failure_of, run_job


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`child(code)` has jobs run Python code in place of training; its list fills with the command lines."""
    real = subprocess.Popen
    started: list[list[str]] = []

    def stand_in(code: str) -> list[list[str]]:
        def popen(command: list[str], **given: Any) -> Any:
            started.append(command)
            return real([sys.executable, "-c", code], **given)

        monkeypatch.setattr(subprocess, "Popen", popen)
        return started

    return stand_in


def job_in(path: Path) -> Job:
    return Job(path / "sweep" / "seed-1", ("ways=3", "seed=1"), {"seed": "1"})


DONE = "import pathlib; pathlib.Path('sweep/seed-1/result.json').write_text('{}')"


def test_a_new_job_and_one_to_go_on_with(child: Any, tmp_path: Path) -> None:
    job = job_in(tmp_path)
    started = child("pass")
    assert run_job(job, tmp_path) == Failure(1, "exit code 0")
    assert started[0][1:] == ["-m", "metalstm.train", "ways=3", "seed=1", f"hydra.run.dir='{job.path}'"]
    (job.path / "config.yaml").touch()
    child(DONE)
    assert run_job(job, tmp_path) is None
    assert started[1][1:] == ["-m", "metalstm.train", f"resume='{job.path}'"]
    assert {path.name for path in job.path.iterdir()} == {"config.yaml", "result.json"}


def test_what_is_over_is_not_run(child: Any, tmp_path: Path) -> None:
    job = job_in(tmp_path)
    started = child(DONE)
    assert run_job(job, tmp_path) is None
    assert run_job(job, tmp_path) is None
    assert len(started) == 1


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (r"import sys; sys.stderr.write('error: a\n  fix: b\nerror: c\n  fix: d\n'); sys.exit(3)", Failure(3, "a; c")),
        ("raise ValueError('of this program')", Failure(1, "ValueError: of this program")),
        ("import os; os.kill(os.getpid(), 9)", Failure(137, "ended by SIGKILL")),
        ("import sys; sys.exit(5)", Failure(5, "exit code 5")),
    ],
)
def test_reasons(code: str, failure: Failure, child: Any, tmp_path: Path) -> None:
    job = job_in(tmp_path)
    child(code)
    assert run_job(job, tmp_path) == failure
    assert failure_of(job) == failure
    child(DONE)
    assert run_job(job, tmp_path) is None
    assert failure_of(job) is None


def test_a_directory_that_cannot_be_made(child: Any, tmp_path: Path) -> None:
    started = child(DONE)
    (tmp_path / "sweep").write_text("mine", encoding="utf-8")
    with pytest.raises(CheckpointError, match="could not be written"):
        run_job(job_in(tmp_path), tmp_path)
    assert not started


def test_a_job_that_nobody_has_run(tmp_path: Path) -> None:
    assert failure_of(job_in(tmp_path)) == Failure(1, "it has no result")


def test_a_signal_is_passed_on_and_is_no_failure(child: Any, tmp_path: Path) -> None:
    job = job_in(tmp_path)
    child("import os, signal, time; os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)")
    began = time.monotonic()
    with Interruption() as interruption:
        assert run_job(job, tmp_path, interruption) is None
        assert interruption.requested == signal.SIGTERM
    assert time.monotonic() - began < 30
    assert list(job.path.iterdir()) == []


def test_the_job_of_a_killed_sweep_is_waited_for(child: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_in(tmp_path)
    job.path.mkdir(parents=True)
    holding = (
        "import sys, time; from filelock import FileLock; FileLock(sys.argv[1]).acquire(); print('held', flush=True); "
        "time.sleep(1)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", holding, str(job.path / ".lock")], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    child(DONE)
    assert run_job(job, tmp_path) is None
    assert holder.poll() is not None or holder.wait(timeout=1) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="a process is told of its parent's end on Linux alone")
def test_a_job_does_not_outlive_its_sweep(tmp_path: Path) -> None:
    """Neither one that its sweep has started before it was killed, nor one that finds its sweep gone."""
    job = "from metalstm.runtime.parent import end_with_sweep; end_with_sweep(); print('in', flush=True); import time; "
    job += "time.sleep(60)"
    sweep = f"import os, subprocess, sys; os.environ['{jobs.SWEEP}'] = str(os.getpid()); "
    sweep += f"print(subprocess.Popen([sys.executable, '-c', {job!r}]).pid, flush=True); import time; time.sleep(60)"
    running = subprocess.Popen([sys.executable, "-c", sweep], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    said = [running.stdout.readline().strip() for _ in range(2)]
    (pid,) = (int(line) for line in said if line != "in")
    running.kill()
    assert running.wait() == -signal.SIGKILL
    give_up = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < give_up
        time.sleep(0.01)
    late = subprocess.run([sys.executable, "-c", job], env=os.environ | {jobs.SWEEP: str(running.pid)}, check=False)
    assert late.returncode == 143


def test_an_owner_is_gone_when_its_process_is() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    owner = Owner(process.pid, born(process.pid))
    assert not owner.gone
    process.kill()
    while born(process.pid):  # it is not waited for yet, as where its parent has not looked
        time.sleep(0.01)
    assert owner.gone
    process.wait()
    assert Owner(os.getpid(), "another one's birth").gone  # the number was given again


def test_a_job_whose_sweep_is_gone_is_stopped_and_is_no_failure(child: Any, tmp_path: Path) -> None:
    job = job_in(tmp_path)
    child("import time; time.sleep(60)")
    began = time.monotonic()
    assert run_job(job, tmp_path, owner=Owner(os.getpid(), "long ago")) is None
    assert time.monotonic() - began < 30
    assert list(job.path.iterdir()) == []


def test_a_job_whose_directory_is_gone_has_failed(child: Any, tmp_path: Path) -> None:
    job = job_in(tmp_path)
    child("import shutil, sys; shutil.rmtree('sweep/seed-1'); sys.exit(4)")
    assert run_job(job, tmp_path) == failure_of(job) == Failure(4, "exit code 4")
