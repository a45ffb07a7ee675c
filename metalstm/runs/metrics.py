"""`metrics.jsonl`: a line for each training step and each meta-validation, nothing that two equal runs differ in.

All who read it do so here. A line counts that is whole: it ends, and is a mapping with a step and numbers; any other
one is as if it were not there.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from metalstm.files.writing import TEMPORARY, writing
from metalstm.runs.layout import METRICS

log = logging.getLogger(__name__)

LONGEST = 2**16  # bytes of a line; those of a run have some hundred
TAIL = 2**16  # bytes at the end that the last step is looked for in
AT_ONCE = 2**20  # bytes that a checksum is taken of
NUMBERS = (int, float)
Place = tuple[int, str]  # the step of a record and its split, which is how records follow each other
VALIDATION, TRAIN = "meta_validation", "meta_train"


class Line(NamedTuple):
    """A line of the file."""

    record: dict[str, float] | None  # None: it is damaged
    data: bytes
    end: int  # bytes before the next one

    @property
    def place(self) -> Place:
        assert self.record is not None
        name = next((name for name in self.record if name != "step"), "")
        return int(self.record["step"]), name.partition("/")[0]


class Mark(NamedTuple):
    """How far the file had come when a checkpoint was saved."""

    lines: int
    last: Place | None = None  # of the last record; None: wherever the lines end
    size: int | None = None  # bytes; None: of older checkpoints
    checksum: int = 0  # CRC-32 of them

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Mark:
        """Return what a checkpoint's state says of the file."""
        step = int(state["step"])
        last = step, VALIDATION if int(state["validated"]) == step else TRAIN
        size = state.get("metrics_bytes")
        return cls(
            int(state["metrics_lines"]), last, None if size is None else int(size), int(state.get("metrics_crc32", 0))
        )

    def holds(self, line: Line) -> bool:
        """Whether the line was there then, so far as its step tells."""
        return self.last is None or line.place <= self.last


class MetricsFile:
    """Appends records; a resumed run first cuts back what was written after its checkpoint.

    `followers` are called with step and values of each record, once it is written.

    Args:
        path: the file.
        mark: how much of it to keep, or so many lines.
    """

    def __init__(self, path: Path, mark: Mark | int) -> None:
        self.path = path
        mark = Mark(mark) if isinstance(mark, int) else mark
        with writing(path):
            self.lines, self.size, self.checksum = cut_back(path, mark)
            self.file = path.open("ab", buffering=0)  # what the disk refuses must not be tried again at the end
        self.followers: list[Callable[[int, Mapping[str, float]], None]] = []

    def record(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Write `values` as `<split>/<name>`.

        Raises:
            CheckpointError: it cannot be written.
        """
        named = {f"{split}/{name}": value for name, value in values.items()}
        line = left = (json.dumps({"step": step, **named}) + "\n").encode()
        with writing(self.path):
            while left:
                left = left[self.file.write(left) :]
        self.lines += 1
        self.size += len(line)
        self.checksum = zlib.crc32(line, self.checksum)
        for follow in self.followers:
            follow(step, named)

    def state(self) -> dict[str, int]:
        """Return what a checkpoint keeps of it; see `Mark`."""
        return {"metrics_lines": self.lines, "metrics_bytes": self.size, "metrics_crc32": self.checksum}

    def sync(self) -> None:
        """Wait until the disk has all records: what a checkpoint counts must be there."""
        with writing(self.path):
            os.fsync(self.file.fileno())

    def close(self) -> None:
        self.file.close()


def cut_back(path: Path, mark: Mark) -> tuple[int, int, int]:
    """Cuts the file back to where it was at a checkpoint; what is damaged is left out, with a warning.

    Only where its bytes are not those of then is it read line by line.

    Returns:
        How many lines, bytes, and their CRC-32.
    """
    if not path.exists():
        path.touch()
        if mark.lines:
            log.warning("%s is gone, and %d lines with it; it goes on from here", path, mark.lines)
        return 0, 0, 0
    if mark.size is not None and checksum(path, mark.size) == mark.checksum:
        os.truncate(path, mark.size)  # in place: a process killed here loses nothing
        return mark.lines, mark.size, mark.checksum
    return mended(path, mark)


def mended(path: Path, mark: Mark) -> tuple[int, int, int]:
    """Read the file line by line and cut it back; rewrite it only where a damaged line stands before a whole one."""
    kept = size = total = 0
    clean = True  # whether the file begins with all that is kept
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    try:
        with temporary.open("wb") as copy:
            for line in in_order(line for line in lines(path) if line.record is not None and mark.holds(line)):
                if kept == mark.lines:
                    break
                copy.write(line.data)
                kept, size, total = kept + 1, size + len(line.data), zlib.crc32(line.data, total)
                clean = clean and line.end == size
            copy.flush()
            os.fsync(copy.fileno())
        if clean:
            os.truncate(path, size)
        else:
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if mark.size is not None or kept < mark.lines:
        log.warning("%s has changed since its checkpoint: %d of %d lines are whole and kept", path, kept, mark.lines)
    return kept, size, total


def in_order(found: Iterable[Line]) -> Iterator[Line]:
    """Yield lines in the order of their steps; leave out those that come again or belong further on."""
    before: Place = (0, "")
    placed: Iterator[tuple[Place, Line | None]] = ((line.place, line) for line in found)
    for (place, line), (after, _) in pairwise(chain(placed, [((sys.maxsize, ""), None)])):
        if line is not None and before < place < after:
            before = place
            yield line


def lines(path: Path, start: int = 0, stop: float = float("inf")) -> Iterator[Line]:
    """Yield the lines that end, from a place in the file up to another; none where there is no file."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        end = file.seek(start)
        while end < stop and (data := file.readline(LONGEST)):
            end += len(data)
            if data.endswith(b"\n"):
                yield Line(parsed(data[:-1]), data, end)
            elif len(data) == LONGEST:
                end += rest_of_line(file)
                yield Line(None, b"", end)


def rest_of_line(file: BinaryIO) -> int:
    """Read over what is left of a line; how many bytes that was."""
    passed = 0
    while data := file.readline(AT_ONCE):
        passed += len(data)
        if data.endswith(b"\n"):
            break
    return passed


def parsed(line: bytes) -> dict[str, float] | None:
    """Return the record that a line holds; None: it is damaged."""
    try:
        record = json.loads(line.decode())  # bytes json would read in UTF-16, too
        step = record.pop("step")
        if type(step) is not int or step < 1 or any(type(value) not in NUMBERS for value in record.values()):
            return None
        return {"step": step, **{name: float(value) for name, value in record.items()}}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def checksum(path: Path, size: int) -> int | None:
    """Return the CRC-32 of so many bytes at the beginning of a file; None: it has fewer."""
    total = 0
    with path.open("rb") as file:
        while size and (data := file.read(min(size, AT_ONCE))):
            total, size = zlib.crc32(data, total), size - len(data)
    return None if size else total


class Records:
    """The records that a run has written, read when they are asked for.

    Args:
        run: its directory.
        size: bytes of the file to read; None: all that there are then.
    """

    def __init__(self, run: Path, size: int | None = None) -> None:
        self.file = run / METRICS
        self.size = size

    def __iter__(self) -> Iterator[dict[str, float]]:
        for line in lines(self.file, stop=float("inf") if self.size is None else self.size):
            if line.record is not None:
                yield line.record


def last_records(run: Path) -> list[dict[str, float]]:
    """Return the last records that a run has written down, those within `TAIL` bytes of the end of its file."""
    file = run / METRICS
    with suppress(OSError):
        found = lines(file, max(0, file.stat().st_size - TAIL))
        return [line.record for line in found if line.record is not None]
    return []
