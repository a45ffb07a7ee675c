"""Wheels on unseen ground, LaRocque et al. 2024 (BorealTC): how fast wheels will turn, learned from a drive.

Legend: T tasks, B examples, W steps of a window, N rows of all drives, D drives.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from metalstm.config.fields import bounded
from metalstm.datasets.base import Dataset, FolderOfData, Kind, more_ways
from metalstm.datasets.series.terrain_files import COLUMNS, RATE, Logs, read_logs
from metalstm.datasets.splits import Shares, split_randomly
from metalstm.errors import ConfigError, DataError, Problem
from metalstm.files.paths import dataset_root
from metalstm.registry import register
from metalstm.tasks.classes import distinct
from metalstm.tasks.examples import Examples, TaskBatch
from metalstm.tasks.sampler import TaskShape

FEWEST_TERRAINS = 3  # one for each split
SHARES = Shares(validation=0.2, test=0.2)
FLAT = 1e-6  # a column with a smaller standard deviation is not scaled
SPEEDS = slice(2, 4)  # of COLUMNS: what is forecast


class Drives:
    """A task is one stretch of a drive: its first seconds are the support set, the query set comes from what follows.

    An example reads `window` rows of currents and speeds. Its target is by how much the speeds of the left and the
    right wheels will have changed `horizon` rows after the last one. The change is asked for, not the speed, because
    a wheel mostly turns as fast as it just did: "as now", the forecast to beat, is then to answer 0, and what a model
    learns is what that forecast misses.

    The support windows follow one another from the stretch's first row, each with its target's row, without overlap.
    Query windows are distinct and lie behind them, so that no row is in both sets; they may overlap each other.
    Every drive is as likely as any other, and so is every stretch of a drive.

    Args:
        drives: D tensors [n, 4] of scaled rows as COLUMNS, each of `stretch` rows or more.
        changes_by: [2], what changes of the scaled speeds are divided by.
        window: W, rows of an example.
        horizon: rows from the last one read to the one that is forecast.
        stretch: rows of a task.
    """

    def __init__(self, drives: list[Tensor], changes_by: Tensor, window: int, horizon: int, stretch: int) -> None:
        self.rows = torch.cat(drives)  # [N, 4]
        self.speeds = self.rows[:, SPEEDS] / changes_by  # [N, 2]
        counts = torch.tensor([len(drive) for drive in drives])
        self.first = counts.cumsum(0) - counts  # [D], among the N rows
        self.starts = counts - stretch + 1  # [D], where a stretch can begin
        self.window = window
        self.horizon = horizon
        self.stretch = stretch

    @property
    def span(self) -> int:
        """Rows from the first of an example to its target's."""
        return self.window + self.horizon

    def unfit(self, shape: TaskShape) -> list[Problem]:
        ways = more_ways(shape.ways, "terrain", "drive", "the number of windows to learn from")
        return unfit(self.stretch, self.span, shape.shots, shape.queries) + ways

    def sample(self, tasks: int, shape: TaskShape, generator: torch.Generator, shard: slice = slice(None)) -> TaskBatch:
        """Draws tasks: support inputs [T, shots, W, 4] and targets [T, shots, 2], queries likewise.

        Raises:
            ConfigError: `ways` is not 1, for a drive has no classes; or a stretch is too short for so many examples.
        """
        if problems := self.unfit(shape):
            raise ConfigError(*problems)
        drive = torch.randint(len(self.first), (tasks,), generator=generator)
        start = torch.randint(2**62, (tasks,), generator=generator) % self.starts[drive]
        begin = (self.first[drive] + start).unsqueeze(1)  # [T, 1]
        learned = shape.shots * self.span
        places = self.stretch - learned - self.span + 1  # where a query window can begin
        later = distinct(tasks, 1, places, shape.queries, generator).squeeze(1)  # [T, queries]

        def examples(starts: Tensor) -> Examples:  # [T, B] among the N rows
            last = starts + self.window - 1
            inputs = self.rows[starts.unsqueeze(-1) + torch.arange(self.window)]
            return Examples(inputs, self.speeds[last + self.horizon] - self.speeds[last])

        support = torch.arange(0, learned, self.span).expand(tasks, -1)
        tasks_drawn = TaskBatch(examples(begin + support), examples(begin + learned + later), units=drive)
        return tasks_drawn.of_tasks(shard)


def unfit(stretch: int, span: int, shots: int, queries: int) -> list[Problem]:
    """Whether `shots` examples of `span` rows, end to end, and `queries` behind them that may overlap fit a stretch."""
    needed = shots * span + span + queries - 1
    if needed <= stretch:
        return []
    return [
        Problem(
            f"dataset.stretch={stretch}, but {shots} shots and {queries} queries, each of dataset.window + "
            f"dataset.horizon = {span} rows, take {needed} rows",
            f"use dataset.stretch>={needed}, or fewer shots, or a shorter window",
        )
    ]


def load_terrain(
    root: Path | None, split_seed: int = 0, window: int = 13, horizon: int = 3, stretch: int = 130
) -> Dataset:
    """Drives on terrains, whole terrains dealt out to the splits by a permutation: of 5 they are 3, 1 and 1.

    Currents and speeds are shifted and scaled by the mean and standard deviation of meta-train's rows. The changes of
    speed that are forecast are divided, for each side, by their root mean square over meta-train's drives, each drive
    counting the same: "as now" has a mean squared error of 1 there, and the description says of how much in each
    split. Drives that are shorter than a stretch are left out.

    Args:
        root: the folder with the terrains' folders, itself or in `data/borealtc/`; None: the user's own.
        split_seed: which permutation of the terrains.
        window: W, rows that an example reads, 6.5 a second.
        horizon: rows from the last one read to the one that is forecast.
        stretch: rows of a task.

    Raises:
        DataError: the data is missing, broken or of fewer than 3 terrains.
        ConfigError: a stretch is too short for any task, or no drive on a terrain is as long.
    """
    problems = unfit(stretch, window + horizon, 1, 1)
    if problems:
        raise ConfigError(*problems)
    folder = dataset_root(root, "terrain")
    logs = read_logs(folder)
    if len(logs) < FEWEST_TERRAINS:
        raise DataError.of(
            f"{folder}: {len(logs)} terrains with wheel logs ({', '.join(logs)}), but splitting takes "
            f"{FEWEST_TERRAINS}",
            "add folders of further terrains, or name another folder with dataset.root",
        )
    drives = _long_enough(logs, stretch)
    chosen = split_randomly(list(logs), SHARES, split_seed, "terrain")
    rows = {split: [row for name in names for row in drives[name].values()] for split, names in chosen.items()}
    known = torch.cat(rows["meta_train"]).double()
    mean, deviation = known.mean(dim=0), known.std(dim=0, correction=0)
    deviation = deviation.where(deviation > FLAT, 1)
    scaled = {s: [((row - mean) / deviation).float() for row in of_split] for s, of_split in rows.items()}
    missed = {split: _missed_as_now(of_split, horizon) for split, of_split in scaled.items()}
    changes_by = missed["meta_train"].sqrt()
    changes_by = changes_by.where(changes_by > FLAT, 1)
    digest = hashlib.sha256(json.dumps([chosen, [*map(list, drives.values())], window, horizon, stretch]).encode())
    for row in (row for of_split in rows.values() for row in of_split):
        digest.update(repr(row.shape).encode() + row.numpy().tobytes())
    as_now = [f"{float((value / changes_by.square()).mean()):.3g}" for value in missed.values()]
    short = sum(map(len, logs.values())) - sum(map(len, drives.values()))
    return Dataset(
        name="terrain",
        kind="regression",
        splits={s: Drives(of_split, changes_by, window, horizon, stretch) for s, of_split in scaled.items()},
        steps=window,
        features=len(COLUMNS),
        outputs=2,
        fingerprint=digest.hexdigest(),
        description=f"terrain: {' / '.join(', '.join(names) for names in chosen.values())}; "
        f"{' / '.join(str(len(of_split)) for of_split in rows.values())} drives of {stretch / RATE:.3g} s or more "
        f"({short} shorter ones left out); change of speed in {horizon / RATE:.2g} s after {window / RATE:.2g} s; "
        f"mse of 'as now' {' / '.join(as_now)}",
        unit="drive",
    )


def _long_enough(logs: Logs, stretch: int) -> Logs:
    """Return the logs of `stretch` rows or more.

    Raises:
        ConfigError: naming each terrain that has none.
    """
    longest = {name: max(map(len, of_terrain.values())) for name, of_terrain in logs.items()}
    problems = [
        Problem(
            f"dataset.stretch={stretch}, but the longest drive on {name} has {rows} rows",
            f"use dataset.stretch<={min(longest.values())}, or remove this terrain's folder",
        )
        for name, rows in longest.items()
        if rows < stretch
    ]
    if problems:
        raise ConfigError(*problems)
    return {name: {file: row for file, row in logs[name].items() if len(row) >= stretch} for name in logs}


def _missed_as_now(drives: list[Tensor], horizon: int) -> Tensor:
    """[2]: the mean squared change of each speed in `horizon` rows, each drive counting the same."""
    changes = [drive[horizon:, SPEEDS] - drive[:-horizon, SPEEDS] for drive in drives]
    return torch.stack([change.square().mean(dim=0) for change in changes]).mean(dim=0)


@register("dataset", "terrain")
@dataclass(kw_only=True)
class TerrainSettings(FolderOfData):
    """The settings of drives on terrains."""

    kind: ClassVar[Kind] = "regression"

    split_seed: int = bounded(minimum=0, below=2**32)
    window: int = bounded(minimum=1)
    horizon: int = bounded(minimum=1)
    stretch: int = bounded(minimum=2)

    def load(self) -> Dataset:
        return load_terrain(self.folder, self.split_seed, self.window, self.horizon, self.stretch)
