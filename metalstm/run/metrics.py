"""`metrics.jsonl`: a line for each training step and each meta-validation, nothing that two equal runs differ in."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path


class MetricsFile:
    """Appends records; a resumed run first cuts back what was written after its checkpoint.

    Args:
        path: the file.
        lines: how many lines of it to keep.
    """

    def __init__(self, path: Path, lines: int) -> None:
        kept = path.read_bytes().splitlines(keepends=True)[:lines] if path.exists() else []
        with path.open("ab") as file:
            file.truncate(sum(map(len, kept)))  # in place: a process killed here loses nothing
        self.file = path.open("a", encoding="utf-8")
        self.lines = len(kept)

    def record(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Writes `values` as `<split>/<name>`."""
        named = {f"{split}/{name}": value for name, value in values.items()}
        self.file.write(json.dumps({"step": step, **named}) + "\n")
        self.file.flush()
        self.lines += 1

    def sync(self) -> None:
        """Waits until the disk has all records: what a checkpoint counts must be there."""
        os.fsync(self.file.fileno())

    def close(self) -> None:
        self.file.close()
