"""Command lines of tiny runs, and how commands end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

# A run of a second or two: 24 classes for meta-training, 3 for meta-validation, 9 for meta-test.
TINY = {
    "dataset.classes": 36,
    "model.hidden_size": 8,
    "learner.inner_steps": 2,
    "ways": 3,
    "queries": 2,
    "train_queries": 2,
    "steps": 6,
    "meta_batch_size": 2,
    "validate_every": 3,
    "validation_tasks": 4,
    "checkpoint_every": 2,
    "log_every": 2,
    "test_tasks": 6,
    "scratch_tasks": 2,
    "scratch_steps": 2,
}


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def tiny(**changes: Any) -> list[str]:
    """The settings of a tiny run as overrides; `tiny(steps=9, **{"dataset.classes": None})` changes or drops some."""
    return [f"{name}={value}" for name, value in (TINY | changes).items() if value is not None]


def only_run(folder: Path) -> Path:
    """The one run directory somewhere under a folder."""
    (config,) = folder.rglob("config.yaml")
    return config.parent


def result_of(path: Path) -> dict[str, Any]:
    """The content of `result.json` in a run directory."""
    content: dict[str, Any] = json.loads((path / "result.json").read_text(encoding="utf-8"))
    return content
