"""The task sampler: meta-batch number `step` as a pure function of (seed, split, step)."""

from __future__ import annotations

import hashlib
from typing import NamedTuple, Protocol

import torch

from metalstm.errors import Problem
from metalstm.tasks.examples import TaskBatch


class TaskShape(NamedTuple):
    """How large one task is. For regression `ways` is 1 and `shots` is the k of k-shot."""

    ways: int
    shots: int  # support examples per class
    queries: int  # query examples per class


class TaskSource(Protocol):
    """Where tasks come from: classes with examples, or a family of functions."""

    def unfit(self, shape: TaskShape) -> list[Problem]:
        """Return why there are no tasks of this shape."""

    def sample(self, tasks: int, shape: TaskShape, generator: torch.Generator, shard: slice = slice(None)) -> TaskBatch:
        """Draw `tasks` tasks and return those of `shard`; every random choice comes from `generator`."""


def seeded_generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a CPU generator whose stream depends on `seed` and on what it is for, and on nothing else.

    The names are hashed, so that neighbouring steps and splits get unrelated streams.
    """
    digest = hashlib.sha256(repr((seed, *names)).encode()).digest()
    generator = torch.Generator()
    generator.manual_seed(int.from_bytes(digest[:8], "little", signed=True))
    return generator


class TaskSampler:
    """Meta-batches by number: `sampler(step)` is the same whenever, wherever and however often it is asked for.

    Args:
        source: the class pool or function family of one split.
        shape: ways, shots and queries of every task.
        tasks: tasks in a meta-batch.
        seed: the run's seed.
        split: the split's name; splits draw from unrelated streams.
        shard: which of the tasks are this process's own.
    """

    def __init__(
        self,
        source: TaskSource,
        shape: TaskShape,
        tasks: int,
        seed: int,
        split: str,
        shard: slice = slice(None),
    ) -> None:
        self.source = source
        self.shape = shape
        self.tasks = tasks
        self.seed = seed
        self.split = split
        self.shard = shard

    def __call__(self, step: int) -> TaskBatch:
        return self.source.sample(self.tasks, self.shape, self.generator(step, "tasks"), self.shard)

    def generator(self, step: int, purpose: str) -> torch.Generator:
        """For whatever else is drawn at a step (dropout masks, say): its stream depends on the purpose as well."""
        return seeded_generator(self.seed, purpose, self.split, step)
