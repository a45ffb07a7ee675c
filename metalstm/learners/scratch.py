"""The same model from a random start: what a task costs without meta-learning.

Legend: T tasks, Q query examples, O outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from metalstm.config.fields import bounded, one_of
from metalstm.learners.base import LearnerSettings, MetaLoss, Parts
from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.inner_loop.optimizer_steps import OPTIMIZERS, Optimizer, OptimizerLearner
from metalstm.learners.objective import Kind
from metalstm.nn.base import Model, Shape, Weights
from metalstm.registry import register
from metalstm.tasks.examples import Examples, TaskBatch
from metalstm.tasks.sampler import seeded_generator


class Scratch(OptimizerLearner):
    """Trains a randomly started model on the support set alone, every task of a batch from a start of its own.

    It has no meta-parameters: there is nothing to meta-train.

    Args:
        shape: of the model, the same as the learner's that it is compared with.
        kind: classification or regression.
        optimizer: `sgd`, as the inner loop's, or `adam`.
        lr: its rate; None: see `Training`.
        seed: of the starts; the t-th task of a batch has the t-th start.
    """

    def __init__(self, shape: Shape, kind: Kind, optimizer: Optimizer, lr: float | None, seed: int) -> None:
        super().__init__(WholeModel(start(shape, seed, 0)), kind, optimizer, lr)
        self.shape = shape
        self.seed = seed

    def meta_loss(self, tasks: TaskBatch, generator: torch.Generator | None = None, progress: float = 1.0) -> MetaLoss:
        return MetaLoss(torch.zeros(()), {})

    def start_of(self, tasks: TaskBatch) -> dict[str, Tensor]:
        return self.starts(tasks.support, tasks.first)

    def adapt(self, support: Examples, steps: int, adapted: Weights | None = None) -> Iterator[Weights]:
        return super().adapt(support, steps, self.starts(support) if adapted is None else adapted)

    def starts(self, support: Examples, first: int = 0) -> dict[str, Tensor]:
        """Return the random weights of as many tasks, [T, ...] each; `first`: the number of the first one."""
        models = [start(self.shape, self.seed, first + task) for task in range(len(support.inputs))]
        names = [name for name, _ in models[0].named_parameters()]
        device = support.inputs.device
        return {name: torch.stack([model.get_parameter(name) for model in models]).to(device) for name in names}


def start(shape: Shape, seed: int, task: int) -> Model:
    """Return the random start of the t-th task."""
    return shape.build(seeded_generator(seed, "scratch", task))


@register("learner", "scratch")
@dataclass(kw_only=True)
class ScratchSettings(LearnerSettings):
    """The settings of training from scratch."""

    any_ways: ClassVar[bool] = True  # its answers are made of the support set
    trains_inner_loop: ClassVar[bool] = False

    inner_steps: int = bounded(minimum=1)
    optimizer: str = one_of(*OPTIMIZERS)
    inner_lr: float | None = bounded(above=0)

    def build(self, parts: Parts) -> Scratch:
        return Scratch(parts.shape(None), parts.kind, self.optimizer, self.inner_lr, parts.seed)  # type: ignore[arg-type]
