"""Read a run's `result.json`."""

from __future__ import annotations

from pathlib import Path

from metalstm.files.reading import read_json
from metalstm.runs.layout import RESULT


def picked_lr(path: Path) -> float | None:
    """Return the rate that a run has picked on meta-validation, from its `result.json`; None where it has not."""
    return number_in(path, "protocol", "picked_lr")


def trained_for(path: Path) -> tuple[int, float, float]:
    """Return what `training` was given, from a run's `result.json`; zeros where there is none."""
    steps, seconds, before = (
        number_in(path, "training", name) or 0.0 for name in ("steps", "seconds", "pretraining_seconds")
    )
    return int(steps), seconds, before


def number_in(path: Path, part: str, name: str) -> float | None:
    """Return a number in a part of a run's `result.json`; None where there is none."""
    try:
        found = read_json(path / RESULT)[part][name]
        return None if found is None else float(found)
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
