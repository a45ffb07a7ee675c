"""A trial's process: started, followed by what its run writes down, stopped."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from metalstm.runs.layout import METRICS
from metalstm.runs.metrics import VALIDATION, lines
from metalstm.runtime.signal_names import STOPPED
from metalstm.sweeps.job import ERRORS, Job, reason, started


class Validated(NamedTuple):
    """A run's result on meta-validation."""

    step: int
    value: float


class TrialProcess:
    """A run in a process of its own, in a directory of its own; gone on with where it has been begun.

    Args:
        path: the run directory.
        settings: as on the command line of `metalstm-train`.
    """

    def __init__(self, path: Path, settings: Sequence[str]) -> None:
        self.path = path
        self.process = started(Job(path, tuple(settings), {}), Path.cwd(), quiet=True)

    def ended(self) -> int | None:
        """Return the exit code, less than 0 where a signal ended it; None: it is still running."""
        return self.process.poll()

    def stop(self) -> None:
        """Asks it to stop, with a checkpoint, and waits for that."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
        if self.process.returncode in (0, *STOPPED):
            (self.path / ERRORS).unlink(missing_ok=True)

    def why(self) -> str:
        """Why it has ended, in one line."""
        return reason(self.path, self.process.returncode)


class Validations:
    """A run's meta-validations, listened to while it writes them: each line is read once.

    Args:
        path: the run directory.
    """

    def __init__(self, path: Path) -> None:
        self.file = path / METRICS
        self.read = 0  # bytes
        self.found: list[Validated] = []

    def so_far(self) -> list[Validated]:
        """All of them; of a line that is being written the whole comes later."""
        with suppress(FileNotFoundError):
            if self.file.stat().st_size < self.read:  # cut back by a run that goes on from a checkpoint
                self.read, self.found = 0, []
        for line in lines(self.file, self.read):
            self.read = line.end
            self.found += [
                Validated(line.place[0], value)
                for name, value in (line.record or {}).items()
                if name.startswith(f"{VALIDATION}/") and not name.endswith("_ci95")
            ]
        return self.found


def validations(path: Path) -> list[Validated]:
    """All meta-validations of a run so far."""
    return Validations(path).so_far()
