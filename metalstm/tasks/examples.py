"""What a task is: a few labelled examples to learn from, and others to be judged on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Examples(NamedTuple):
    """The same number of labelled sequences for each of T tasks.

    Legend: T tasks, B examples, S time steps, F features.
    """

    inputs: Tensor  # [T, B, S, F] float
    targets: Tensor  # classification: [T, B] int64, 0 <= label < ways; regression: [T, B, outputs] float

    def to(self, device: torch.device) -> Examples:
        return Examples(self.inputs.to(device), self.targets.to(device))

    def task(self, index: int) -> Examples:
        """The examples of one task, the tasks axis kept: [1, B, ...]."""
        return Examples(self.inputs[index : index + 1], self.targets[index : index + 1])


class TaskBatch(NamedTuple):
    """A meta-batch: each task's support set, to adapt to, and its query set, to be judged on."""

    support: Examples  # B = ways * shots
    query: Examples  # B = ways * queries

    @property
    def tasks(self) -> int:
        return self.support.inputs.shape[0]

    def to(self, device: torch.device) -> TaskBatch:
        return TaskBatch(self.support.to(device), self.query.to(device))

    def task(self, index: int) -> TaskBatch:
        """One task as a meta-batch of one."""
        return TaskBatch(self.support.task(index), self.query.task(index))
