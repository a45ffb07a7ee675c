"""Batches of tasks: a few labelled examples each to learn from, and others to be judged on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

SEVERAL_LENGTHS = "sequences of several lengths, and no `lengths` to tell them apart"


class Examples(NamedTuple):
    """The same number of labelled sequences for each of T tasks.

    Legend: T tasks, B examples, S time steps, F features.
    """

    inputs: Tensor  # [T, B, S, F] float
    targets: Tensor  # classification: [T, B] int64, 0 <= label < ways; regression: [T, B, outputs] float
    lengths: Tensor | None = None  # [T, B] int64, 1 <= length <= S, how many steps are real; None: all

    def to(self, device: torch.device) -> Examples:
        lengths = None if self.lengths is None else self.lengths.to(device)
        return Examples(self.inputs.to(device), self.targets.to(device), lengths)

    def of_tasks(self, which: slice) -> Examples:
        """Return the examples of some of the tasks."""
        lengths = None if self.lengths is None else self.lengths[which]
        return Examples(self.inputs[which], self.targets[which], lengths)

    def chosen(self, which: Tensor) -> Examples:
        """Return the examples with these numbers [T, N] of each task."""
        task = torch.arange(len(which), device=which.device).unsqueeze(1)
        lengths = None if self.lengths is None else self.lengths[task, which]
        return Examples(self.inputs[task, which], self.targets[task, which], lengths)

    def folded(self) -> Examples:
        """All tasks' examples as those of a single one: [1, T * B, ...]; for weights that the tasks share."""
        lengths = None if self.lengths is None else self.lengths.reshape(1, -1)
        return Examples(self.inputs.flatten(0, 1).unsqueeze(0), self.targets.flatten(0, 1).unsqueeze(0), lengths)


class TaskBatch(NamedTuple):
    """A meta-batch: each task's support set, to adapt to, and its query set, to be judged on."""

    support: Examples  # B = ways * shots
    query: Examples  # B = ways * queries
    classes: Tensor | None = None  # [T, ways] int64: which of the split's classes a label stands for
    units: Tensor | None = None  # [T] int64: which person or drive a task is of, where several tasks share one
    first: int = 0  # the first task's place among those that it is evaluated with

    @property
    def tasks(self) -> int:
        return self.support.inputs.shape[0]

    def to(self, device: torch.device) -> TaskBatch:
        classes = None if self.classes is None else self.classes.to(device)
        return self._replace(support=self.support.to(device), query=self.query.to(device), classes=classes)

    def task(self, index: int) -> TaskBatch:
        """One task as a meta-batch of one."""
        return self.of_tasks(slice(index, index + 1))

    def of_tasks(self, which: slice) -> TaskBatch:
        classes, units = (None if every is None else every[which] for every in (self.classes, self.units))
        first = self.first + which.indices(self.tasks)[0]
        return TaskBatch(self.support.of_tasks(which), self.query.of_tasks(which), classes, units, first)

    def merged(self) -> Examples:
        """Support and query sets as one set: [T, B of both, ...]."""
        return joined([self.support, self.query], dim=1)

    def split(self, at_a_time: int | None) -> Iterator[TaskBatch]:
        """Yield the same tasks in meta-batches of at most `at_a_time`; None: in one."""
        size = self.tasks if at_a_time is None else at_a_time
        for first in range(0, self.tasks, size):
            yield self.of_tasks(slice(first, first + size))


def joined(batches: Sequence[Examples], dim: int = 0) -> Examples:
    """Several batches of tasks as one batch, padded to the longest sequence; with `dim=1` the same tasks' examples."""
    inputs = padded([batch.inputs for batch in batches])
    lengths = None
    if any(batch.lengths is not None for batch in batches):
        lengths = torch.cat([lengths_of(batch) for batch in batches], dim)
    elif any(batch.inputs.shape[2] != inputs[0].shape[2] for batch in batches):
        raise ValueError(SEVERAL_LENGTHS)
    return Examples(torch.cat(inputs, dim), torch.cat([batch.targets for batch in batches], dim), lengths)


def padded(inputs: Sequence[Tensor]) -> list[Tensor]:
    """Each [T, B, S, F] with zeros up to the longest S."""
    longest = max(batch.shape[2] for batch in inputs)
    return [functional.pad(batch, (0, 0, 0, longest - batch.shape[2])) for batch in inputs]


def lengths_of(examples: Examples) -> Tensor:
    """How many steps of each sequence are real, [T, B]."""
    tasks, count, steps, _ = examples.inputs.shape
    if examples.lengths is not None:
        return examples.lengths
    return torch.full((tasks, count), steps, device=examples.inputs.device)
