"""A trial's process: started, followed by what its run writes down, stopped."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from metalstm.run.directory import CONFIG
from metalstm.run.lock import LOCK
from metalstm.run.metrics import read_metrics

log = logging.getLogger(__name__)

libc = ctypes.CDLL(None) if sys.platform == "linux" else None
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


class Validated(NamedTuple):
    """What a run came to on meta-validation."""

    step: int
    value: float


class TrialProcess:
    """A run in a process of its own, in a directory of its own; gone on with where it has been begun.

    Args:
        path: the run directory.
        settings: as on the command line of `metalstm-train`.
    """

    def __init__(self, path: Path, settings: Sequence[str]) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "metalstm.trial", str(path), *settings],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the run has a log of its own
            stderr=self.errors,
            env={
                **os.environ,
                "PYTHONSAFEPATH": "1",
            },  # modules of the folder that the search is started in are not ours
            start_new_session=True,  # Ctrl-C is for the search, which then stops the trial
            preexec_fn=end_with_parent,
        )

    def ended(self) -> int | None:
        """The exit code; None: it is still running."""
        return self.process.poll()

    def stop(self) -> None:
        """Asks it to stop, with a checkpoint, and waits for that."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()

    def complaint(self) -> str:
        """What it has said on standard error."""
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")


def end_with_parent() -> None:
    """Of a process that is about to run a trial: SIGTERM where the search dies, so that none goes on unseen."""
    if libc is not None:
        libc.prctl(DEATH_SIGNAL, signal.SIGTERM)


def wait_until_free(path: Path) -> None:
    """Waits for the process of an earlier search, which may be saving still, to leave a run directory."""
    if not (path / CONFIG).exists():
        return
    told = False
    while True:
        try:
            with FileLock(path / LOCK).acquire(blocking=False):
                return
        except (OSError, NotImplementedError) as error:
            if not isinstance(error, Timeout):  # a file system without locks: nobody has one
                return
        if not told:
            log.info("%s is still in use; waiting for it", path.name)
            told = True
        time.sleep(0.2)


def validations(path: Path) -> list[Validated]:
    """All meta-validations of a run so far."""
    return [
        Validated(int(record["step"]), float(value))
        for record in read_metrics(path)
        for name, value in record.items()
        if name.startswith("meta_validation/") and not name.endswith("_ci95")
    ]
