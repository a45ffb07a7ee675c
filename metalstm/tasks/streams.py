"""Streams of tasks that arrive one after another, for learners that go on learning."""

from __future__ import annotations

import torch
from torch import Tensor

from metalstm.errors import ConfigError
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.examples import TaskBatch
from metalstm.tasks.sampler import TaskShape, TaskSource, seeded_generator


class Streams:
    """Streams by number: `streams(n)` is the same whenever, wherever and however often it is asked for.

    Classes come group by group (domain by domain, alphabet by alphabet), in an order drawn for each stream, and no
    class comes twice. A task is of one group, and all tasks use the same labels. Functions have no groups: each is new.

    Args:
        source: the class pool or function family of one split.
        shape: ways, shots and queries of every task.
        tasks: L, how long a stream is; it is shorter where the classes do not suffice.
        per_group: tasks of one group at most; None: as many as it has classes for.
        seed: the run's seed.
        split: the split's name.

    Raises:
        ConfigError: the classes do not suffice for two tasks.
    """

    def __init__(
        self, source: TaskSource, shape: TaskShape, tasks: int, per_group: int | None, seed: int, split: str
    ) -> None:
        self.source = source
        self.shape = shape
        self.per_group = per_group
        self.seed = seed
        self.split = split
        self.tasks = tasks
        if isinstance(source, ClassDataset):
            self.tasks = min(tasks, sum(self.tasks_of(len(group)) for group in source.groups()))
        if self.tasks < 2:
            raise ConfigError.of(
                f"a stream of ways={shape.ways} needs two tasks, but the classes of {split} suffice for {self.tasks}",
                "use fewer ways",
            )

    def tasks_of(self, classes: int) -> int:
        """How many tasks a group of so many classes gives."""
        most = classes // self.shape.ways
        return most if self.per_group is None else min(most, self.per_group)

    def __call__(self, number: int) -> list[TaskBatch]:
        """Return the tasks of a stream, each as a meta-batch of one."""
        generator = seeded_generator(self.seed, "stream", self.split, number)
        if not isinstance(self.source, ClassDataset):
            return [self.source.sample(1, self.shape, generator) for _ in range(self.tasks)]
        return [
            self.source.sample_of(chosen.unsqueeze(0), self.shape, generator)
            for chosen in self.sample_classes(self.source, generator)
        ]

    def sample_classes(self, pool: ClassDataset, generator: torch.Generator) -> list[Tensor]:
        """Return the classes of each task, [ways]."""
        groups = pool.groups()
        found: list[Tensor] = []
        for place in torch.randperm(len(groups), generator=generator).tolist():
            members = torch.tensor(groups[place])
            if pool.together is None:
                members = members[torch.randperm(len(members), generator=generator)]
            used = self.tasks_of(len(members)) * self.shape.ways
            found += members[:used].split(self.shape.ways) if used else []
        return found[: self.tasks]
