"""All runs under a folder: how far each has come, and what came of it. Reads no more of a run than it needs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from metalstm.fields import pasted
from metalstm.run.directory import CHECKPOINTS, CONFIG, IDENTITY, LOG, METRICS, RESULT
from metalstm.run.job import FAILED
from metalstm.run.lock import is_held

LOGGED = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ (\w+) (.*)$", re.MULTILINE)
STEPS = re.compile(r"^steps: (\d+)$", re.MULTILINE)
TAIL = 2**16  # bytes at the end of a file that are looked at
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RecursionError)


class Listed(NamedTuple):
    """A run in a line."""

    path: Path
    state: str  # finished, running, interrupted or failed
    step: int
    steps: int | None  # that it is to have
    result: str  # in words, or the reason why it failed
    begun: datetime  # UTC


def listed(folder: Path) -> list[Listed]:
    """The runs under a folder, the newest first."""
    return sorted((described(path) for path in run_directories(folder)), key=lambda run: run.begun, reverse=True)


def run_directories(folder: Path) -> Iterator[Path]:
    """The run directories under a folder; what lies in a run is not looked at."""
    for place, folders, files in os.walk(folder):
        if IDENTITY in files or FAILED in files:
            folders.clear()
            yield Path(place)
        folders[:] = [name for name in folders if not name.startswith(".")]


def described(path: Path) -> Listed:
    """A run from its files and its lock."""
    steps = STEPS.search(tail(path / CONFIG))
    checkpoints = sorted(path.glob(f"{CHECKPOINTS}/step_*"))
    failure = reason(path)
    if is_held(path):
        state, step, said = "running", last_step(path), "-"
    elif (path / RESULT).exists():
        state, step, said = "finished", last_step(path), result(path)
    elif failure is None and checkpoints:
        state, step, said = "interrupted", step_of(checkpoints[-1]), f"go on with {pasted('resume', path)}"
    else:
        state, step, said = "failed", last_step(path), failure or "it ended before its first checkpoint"
    return Listed(path, state, step, None if steps is None else int(steps.group(1)), said, begun(path))


def begun(path: Path) -> datetime:
    """When a run was begun, which its name says."""
    try:
        return datetime.strptime(path.name, "%Y-%m-%dT%H-%M-%S-%f").replace(tzinfo=timezone.utc)
    except ValueError:
        there = path / IDENTITY if (path / IDENTITY).exists() else path
        return datetime.fromtimestamp(there.stat().st_mtime, timezone.utc)


def result(path: Path) -> str:
    """What a finished run has reached."""
    try:
        found = json.loads((path / RESULT).read_text(encoding="utf-8"))
        value, half = float(found["value"]), float(found["ci95"])
        if found["metric"] == "accuracy":
            return f"accuracy {100 * value:.2f} ± {100 * half:.2f}%"
        return f"{found['metric']} {value:.4g} ± {half:.4g}"
    except UNREADABLE:
        return f"{RESULT} cannot be read"


def reason(path: Path) -> str | None:
    """Why a run has failed: what its sweep says, or what its log ends with; None: that is no error."""
    with suppress(*UNREADABLE):
        return str(json.loads((path / FAILED).read_text(encoding="utf-8"))["reason"])
    lines = LOGGED.findall(tail(path / LOG))
    if not lines or lines[-1][0] != "ERROR":
        return None
    return str(lines[-1][1]).removeprefix("error: ")


def last_step(path: Path) -> int:
    """The last step that `metrics.jsonl` has."""
    for line in reversed(tail(path / METRICS).splitlines()):
        try:
            return int(json.loads(line)["step"])
        except UNREADABLE:
            continue  # being written, or cut off
    return 0


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint is of, by its name."""
    found = re.match(r"step_(\d+)", checkpoint.name)
    return 0 if found is None else int(found.group(1))


def tail(path: Path) -> str:
    """The end of a text file; nothing where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def as_table(runs: Sequence[Listed]) -> str:
    """Runs as lines of columns."""
    rows = [("run", "state", "step", "begun, UTC", "result")]
    for run in runs:
        step = f"{run.step}" if run.steps is None else f"{run.step}/{run.steps}"
        rows.append((str(run.path), run.state, step, f"{run.begun:%Y-%m-%d %H:%M}", run.result))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
    return "".join(f"{line}\n" for line in lines)
