"""A share of the tasks that a source draws: the same ones, whoever takes the others."""

from __future__ import annotations

from typing import NamedTuple

import torch

from metalstm.tasks.classes import ClassPool
from metalstm.tasks.examples import TaskBatch
from metalstm.tasks.sampler import TaskShape, TaskSource


class Share(NamedTuple):
    """A source that gives only some of the tasks of each draw."""

    source: TaskSource
    own: slice  # which ones

    def draw(self, tasks: int, shape: TaskShape, generator: torch.Generator) -> TaskBatch:
        if isinstance(self.source, ClassPool):  # to copy the examples of all takes most of the time
            return self.source.draw(tasks, shape, generator, self.own)
        return self.source.draw(tasks, shape, generator).of_tasks(self.own)
