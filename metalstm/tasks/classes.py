"""Pools of classes, from which N-way K-shot tasks are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from metalstm.errors import DataError, Problem
from metalstm.tasks.examples import Examples, TaskBatch
from metalstm.tasks.sampler import TaskShape

SPLITS = ("meta_train", "meta_validation", "meta_test")


class ClassPool:
    """The classes of one split, each with the same number of examples.

    Args:
        images: [C, E, S, F] uint8; C classes of E examples; 0..255 stands for 0..1.
        names: the C classes' names, unique over all splits.
    """

    def __init__(self, images: Tensor, names: Sequence[str]) -> None:
        if images.dtype != torch.uint8 or images.dim() != 4 or len(images) != len(names):
            raise ValueError(f"images {tuple(images.shape)} {images.dtype} do not fit {len(names)} names")
        self.images = images
        self.names = list(names)

    @property
    def classes(self) -> int:
        return self.images.shape[0]

    @property
    def examples_per_class(self) -> int:
        return self.images.shape[1]

    def draw(self, tasks: int, shape: TaskShape, generator: torch.Generator) -> TaskBatch:
        """Draws tasks, all at once: `ways` distinct classes, of each `shots` + `queries` distinct examples.

        A label is the class's place in its task. The examples of a set are ordered by class.
        """
        ways, shots, queries = shape
        chosen = distinct(tasks, 1, self.classes, ways, generator).squeeze(1)  # [T, ways]
        examples = distinct(
            tasks, ways, self.examples_per_class, shots + queries, generator
        )  # [T, ways, shots+queries]
        labels = torch.arange(ways).expand(tasks, ways)

        def gather(which: Tensor) -> Examples:  # which: [T, ways, per class]
            inputs = self.images[chosen.unsqueeze(-1), which].flatten(1, 2)
            return Examples(inputs.float() / 255, labels.repeat_interleave(which.shape[-1], dim=1))

        return TaskBatch(gather(examples[..., :shots]), gather(examples[..., shots:]), chosen)


def distinct(tasks: int, rows: int, population: int, count: int, generator: torch.Generator) -> Tensor:
    """[tasks, rows, count]: in each row `count` distinct integers below `population`, in random order."""
    keys = torch.rand(tasks, rows, population, generator=generator)
    return keys.topk(count, dim=-1).indices


def check_disjoint(pools: Mapping[str, ClassPool]) -> None:
    """Refuses a class that appears in two splits.

    Raises:
        DataError: naming the classes and the splits.
    """
    problems = []
    splits = list(pools)
    for i, first in enumerate(splits):
        for second in splits[i + 1 :]:
            shared = sorted(set(pools[first].names) & set(pools[second].names))
            if shared:
                shown = ", ".join(shared[:5]) + (", ..." if len(shared) > 5 else "")
                problems.append(
                    Problem(
                        f"{len(shared)} classes are in both {first} and {second}: {shown}",
                        "give each class to one split only",
                    )
                )
    if problems:
        raise DataError(*problems)
