"""One job of a sweep: a run in a process of its own, so that neither its memory nor its failure touches another's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from filelock import FileLock, Timeout
from omegaconf import DictConfig

from metalstm.config.text import quoted
from metalstm.files.reading import read_json
from metalstm.files.writing import writing
from metalstm.runs.layout import CONFIG, FAILED, RESULT, write_json
from metalstm.runs.lock import LOCK
from metalstm.runtime.parent import SWEEP

ERRORS = "errors.txt"  # what a job has written on standard error
PATIENCE = 120  # seconds that a job of a sweep which was killed has to end at a step boundary


class Job(NamedTuple):
    """One run of a sweep."""

    path: Path  # of the run
    overrides: tuple[str, ...]  # its command line
    swept: dict[str, str]  # those that the sweep gives several values, by name
    flags: tuple[str, ...] = ()  # such as `--config-dir`: what its command line is composed from

    @property
    def over(self) -> bool:
        return (self.path / RESULT).exists()

    @property
    def begun(self) -> bool:
        return (self.path / CONFIG).exists()


class Sweep(NamedTuple):
    """A sweep, as its command line asks for it."""

    path: Path
    jobs: list[Job]
    config: DictConfig  # Hydra's own settings, the launcher's among them
    launched: bool  # whether it takes a launcher to run the jobs, or they run here one by one


class Noted(Protocol):
    """A signal that this process has noted; None: it has not been asked to stop."""

    requested: int | None


class Owner(NamedTuple):
    """The process of a sweep, as its jobs on the same machine see it."""

    pid: int
    born: str  # when, as the system counts: another process may have the number later

    @classmethod
    def here(cls) -> Owner:
        return cls(os.getpid(), born(os.getpid()))

    @property
    def gone(self) -> bool:
        return born(self.pid) != self.born


def born(pid: int) -> str:
    """When a process began, in the system's own count; empty where there is none, or it waits to be buried."""
    try:
        _, _, told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
        state, *fields = told.split()
        return "" if state in "ZX" else fields[18]  # proc(5): starttime
    except OSError:
        return there(pid) if sys.platform != "linux" else ""


def there(pid: int) -> str:
    """Whether there is such a process, where the system does not tell when it began."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return "there"
    return ""


class Failure(NamedTuple):
    """How a job failed."""

    exit_code: int
    reason: str


def run_job(
    job: Job, cwd: Path, interruption: Noted | None = None, quiet: bool = False, owner: Owner | None = None
) -> Failure | None:
    """Run a job, or goes on with it; one that is over is left as it is.

    Args:
        job: what to run; how it failed stands in its directory, until it is tried again.
        cwd: the working directory that its settings are relative to.
        interruption: a signal that it notes is passed on; the job then ends at a step boundary.
        quiet: nothing of it is shown; its log is a file anyway.
        owner: the sweep; where it is gone the job ends at a step boundary.

    Returns:
        How it failed; None: it is over, or was interrupted.

    Raises:
        CheckpointError: its directory cannot be written.
    """
    wait_until_free(job.path)
    if job.over:
        return None
    stopped = Stopped(interruption, owner)
    code = ended(started(job, cwd, quiet), stopped)
    if (code == 0 and job.over) or stopped.signal is not None:
        (job.path / ERRORS).unlink(missing_ok=True)
        return None
    failure = Failure(128 - code if code < 0 else code or 1, reason(job.path, code))
    with writing(job.path):
        job.path.mkdir(parents=True, exist_ok=True)  # a job whose directory is gone has failed, and others have not
    write_json(job.path / FAILED, failure._asdict())
    return failure


def started(job: Job, cwd: Path, quiet: bool) -> subprocess.Popen[bytes]:
    """Return a process that runs a job, or goes on with it; see `run_job`.

    Raises:
        CheckpointError: its directory cannot be written.
    """
    name = quoted(str(job.path))
    given = [f"resume={name}"] if job.begun else [*job.flags, *job.overrides, f"hydra.run.dir={name}"]
    with writing(job.path / ERRORS):
        job.path.mkdir(parents=True, exist_ok=True)
        (job.path / FAILED).unlink(missing_ok=True)
        errors = open(job.path / ERRORS, "wb")  # noqa: SIM115
    with errors:
        return subprocess.Popen(
            [sys.executable, "-m", "metalstm.train", *given],
            cwd=cwd,
            # Files in the working directory are not ours to import.
            env=os.environ | {SWEEP: str(os.getpid()), "PYTHONSAFEPATH": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if quiet else None,
            stderr=errors,
        )


class Stopped(NamedTuple):
    """A signal, or the end of a sweep, that ends a job early."""

    interruption: Noted | None
    owner: Owner | None

    @property
    def signal(self) -> int | None:
        """The signal that it is to have; None: it goes on."""
        if self.interruption is not None and self.interruption.requested is not None:
            return self.interruption.requested
        return signal.SIGTERM if self.owner is not None and self.owner.gone else None


def ended(process: subprocess.Popen[bytes], stopped: Stopped) -> int:
    """Wait for a process, passing on a signal once; its exit code, or less than 0 where a signal ended it."""
    passed_on = False
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=0.2)
        number = None if passed_on else stopped.signal
        if number is not None:
            process.send_signal(number)
            passed_on = True


def wait_until_free(path: Path) -> None:
    """Wait for the job of a sweep that was killed to end; whoever stays longer is named by what is started then."""
    if (path / LOCK).exists():
        with suppress(Timeout, OSError, NotImplementedError), FileLock(path / LOCK, timeout=PATIENCE):
            pass


def reason(path: Path, code: int) -> str:
    """Why a job has failed, in one line."""
    lines = errors_of(path).splitlines()
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if said:
        return "; ".join(said)
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    told = [line.strip() for line in lines if line.strip()]
    return told[-1] if told else f"exit code {code}"


def errors_of(path: Path) -> str:
    """Return what a failed job has written on standard error."""
    with suppress(OSError):
        return (path / ERRORS).read_text(encoding="utf-8", errors="replace")
    return ""


def failure_of(job: Job) -> Failure | None:
    """How a job has failed, from its directory; None: it is over."""
    if job.over:
        return None
    try:
        said = read_json(job.path / FAILED)
        return Failure(int(said["exit_code"]), str(said["reason"]))
    except (ValueError, KeyError, TypeError, OverflowError):
        return Failure(1, "it has no result")
