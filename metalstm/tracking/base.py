"""The interface of a tracker: it gets a run, its records as `metrics.jsonl` has them, and how it ended."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from metalstm.files.reading import read_json
from metalstm.files.writing import write_atomically

Ending = Literal["finished", "interrupted", "failed"]


class Record(NamedTuple):
    """One line of `metrics.jsonl`."""

    step: int
    values: Mapping[str, float]  # by name, e.g. `meta_train/loss`
    time: float  # seconds since 1970: when it was written, or, of what a resumed run had before, read


class TrackedRun(NamedTuple):
    """A run as trackers know it."""

    path: Path  # the run's directory
    output_dir: Path  # the folder of all runs
    settings: Mapping[str, Any]  # by dotted name

    @property
    def name(self) -> str:
        """As people tell runs apart: `glyphs_5w1s_maml/<UTC time>`."""
        path = self.path.absolute()
        return f"{path.parent.name}/{path.name}"

    def known_id(self, tracker: str) -> str | None:
        """Return what a tracker has called the run at an earlier start."""
        file = self.path / f"{tracker}.json"
        return str(read_json(file)["run_id"]) if file.exists() else None

    def remember_id(self, tracker: str, run_id: str) -> None:
        write_atomically(self.path / f"{tracker}.json", json.dumps({"run_id": run_id}).encode())


class Tracker(ABC):
    """One program's way to keep a run. All methods are called by one thread, which is not the one that trains.

    An error in it ends the tracking, with a warning, and not the run. A resumed run begins once more, and its first
    records are then all that the run had before: afterwards there must be each of them once.
    """

    @abstractmethod
    def begin(self, run: TrackedRun) -> None:
        """Open what is written to."""

    @abstractmethod
    def log(self, records: Sequence[Record]) -> None:
        """Write records, in order; soon afterwards a person can see them."""

    @abstractmethod
    def end(self, ending: Ending) -> None:
        """Close what is written to."""


def result_values(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of `result.json` as metrics.

    `<split>/<metric>` of the learner and the baselines, with intervals.
    """
    split, metric = result["split"], result["metric"]
    entries = {"": result} | {f"{name}_": entry for name, entry in result["baselines"].items()}
    values = {}
    for prefix, entry in entries.items():
        values[f"{split}/{prefix}{metric}"] = float(entry["value"])
        values[f"{split}/{prefix}{metric}_ci95"] = float(entry["ci95"])
    return values
