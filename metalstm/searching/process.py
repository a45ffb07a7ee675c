"""A trial's process: started, followed by what its run writes down, stopped."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from metalstm.run.job import ERRORS, Job, reason, started
from metalstm.run.metrics import read_metrics


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
        self.path = path
        self.process = started(Job(path, tuple(settings), {}), Path.cwd(), quiet=True)

    def ended(self) -> int | None:
        """The exit code, less than 0 where a signal ended it; None: it is still running."""
        return self.process.poll()

    def stop(self) -> None:
        """Asks it to stop, with a checkpoint, and waits for that."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()
        if self.process.returncode in (0, 128 + signal.SIGTERM):
            (self.path / ERRORS).unlink(missing_ok=True)

    def why(self) -> str:
        """Why it has ended, in one line."""
        return reason(self.path, self.process.returncode)


def validations(path: Path) -> list[Validated]:
    """All meta-validations of a run so far."""
    return [
        Validated(int(record["step"]), float(value))
        for record in read_metrics(path)
        for name, value in record.items()
        if name.startswith("meta_validation/") and not name.endswith("_ci95")
    ]
