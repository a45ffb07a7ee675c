"""`metrics.jsonl`: a line for each training step and each meta-validation, nothing that two equal runs differ in."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from metalstm.files import writing
from metalstm.run.directory import METRICS


class MetricsFile:
    """Appends records; a resumed run first cuts back what was written after its checkpoint.

    `followers` are called with step and values of each record, once it is written.

    Args:
        path: the file.
        lines: how many lines of it to keep.
    """

    def __init__(self, path: Path, lines: int) -> None:
        self.path = path
        with writing(path):
            kept = path.read_bytes().splitlines(keepends=True)[:lines] if path.exists() else []
            self.file = path.open("ab", buffering=0)  # what the disk refuses must not be tried again at the end
            self.file.truncate(sum(map(len, kept)))  # in place: a process killed here loses nothing
        self.lines = len(kept)
        self.followers: list[Callable[[int, Mapping[str, float]], None]] = []

    def record(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Writes `values` as `<split>/<name>`.

        Raises:
            CheckpointError: it cannot be written.
        """
        named = {f"{split}/{name}": value for name, value in values.items()}
        left = (json.dumps({"step": step, **named}) + "\n").encode()
        with writing(self.path):
            while left:
                left = left[self.file.write(left) :]
        self.lines += 1
        for follow in self.followers:
            follow(step, named)

    def sync(self) -> None:
        """Waits until the disk has all records: what a checkpoint counts must be there."""
        with writing(self.path):
            os.fsync(self.file.fileno())

    def close(self) -> None:
        self.file.close()


def read_metrics(run: Path) -> list[dict[str, float]]:
    """The records that a run has written so far; one that it is about to write is left out.

    Args:
        run: its directory.
    """
    with suppress(FileNotFoundError):
        lines = (run / METRICS).read_bytes().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith(b"\n")]
    return []


class NoMetrics(MetricsFile):
    """What a process has that does not write."""

    def __init__(self) -> None:
        self.lines = 0

    def record(self, step: int, split: str, values: Mapping[str, float]) -> None:
        pass

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass
