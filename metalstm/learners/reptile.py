"""Reptile: the start moves toward where plain training on each task ends (Nichol et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metalstm.learners.adaptable import WholeModel
from metalstm.learners.base import Learner, Outcome
from metalstm.learners.fitting import Optimizer, fit, fitted_curve
from metalstm.learners.objective import Kind, task_loss, task_metrics
from metalstm.nn.base import Model, Weights
from metalstm.tasks.examples import Examples, TaskBatch


class Reptile(Learner):
    """Meta-learns the weights that plain training starts from; no derivative of the training is taken.

    Support and query sets of meta-training are one training set. The outer gradient is what the paper's section 5
    gives to Adam: the start less the mean of the tasks' trained weights.

    Args:
        model: its weights are the start.
        kind: classification or regression.
        inner_steps: of training on a task of meta-training; meta-test often takes more.
        optimizer, inner_lr: of the training.
        inner_batch: examples that a step of meta-training sees; None: all. At meta-test it sees all.
    """

    def __init__(
        self,
        model: Model,
        kind: Kind,
        inner_steps: int,
        optimizer: Optimizer,
        inner_lr: float,
        inner_batch: int | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.adaptable = WholeModel(model)
        self.kind = kind
        self.inner_steps = inner_steps
        self.optimizer = optimizer
        self.inner_lr = inner_lr
        self.inner_batch = inner_batch

    def meta_loss(self, tasks: TaskBatch, generator: torch.Generator | None = None, progress: float = 1.0) -> Outcome:
        """A loss whose gradient is Reptile's; its value, and the metrics, are those of the examples trained on."""
        examples = tasks.merged()
        *_, trained = fit(
            *(self.adaptable, self.kind, self.optimizer, self.inner_lr, examples, self.inner_steps),
            batch=self.inner_batch,
            generator=generator,
        )
        with torch.no_grad():
            outputs = self.adaptable.outputs(self.adaptable.lay_out(examples), trained)
            losses = task_loss(self.kind, outputs, examples.targets)
        pull = sum(
            ((start - start.detach()) * (start.detach() - trained[name].detach().mean(dim=0))).sum()
            for name, start in self.model.named_parameters()
        )
        return Outcome(losses.mean() + pull, task_metrics(self.kind, losses, outputs, examples.targets))

    def adaptation_curve(self, tasks: TaskBatch, at: Sequence[int]) -> Tensor:
        return fitted_curve(self.adaptable, self.kind, self.optimizer, self.inner_lr, tasks, at)

    def adapted_weights(self, support: Examples, steps: int) -> Weights | None:
        *_, weights = fit(self.adaptable, self.kind, self.optimizer, self.inner_lr, support, steps)
        return weights
