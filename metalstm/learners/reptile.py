"""Reptile: the start moves toward where plain training on each task ends (Nichol et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from metalstm.config.fields import bounded, one_of
from metalstm.learners.base import LearnerSettings, MetaLoss, Parts
from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.inner_loop.optimizer_steps import OPTIMIZERS, Optimizer, OptimizerLearner, fine_tune
from metalstm.learners.objective import Kind, task_loss, task_metrics
from metalstm.nn.base import Model
from metalstm.registry import register
from metalstm.tasks.examples import TaskBatch


class Reptile(OptimizerLearner):
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
        super().__init__(WholeModel(model), kind, optimizer, inner_lr)
        self.model = model
        self.inner_steps = inner_steps
        self.inner_batch = inner_batch

    @property
    def adapted_model(self) -> Model:
        return self.model

    def meta_loss(self, tasks: TaskBatch, generator: torch.Generator | None = None, progress: float = 1.0) -> MetaLoss:
        """Return a loss whose gradient is Reptile's.

        Its value, and the metrics, are those of the examples trained on.
        """
        examples = tasks.merged()
        training = self.training_on_a_task
        *_, trained = fine_tune(training, examples, self.inner_steps, batch=self.inner_batch, generator=generator)
        with torch.no_grad():
            outputs = self.adaptable.outputs(self.adaptable.encode(examples), trained)
            losses = task_loss(self.kind, outputs, examples.targets)
        pull = sum(
            ((start - start.detach()) * (start.detach() - trained[name].detach().mean(dim=0))).sum()
            for name, start in self.model.named_parameters()
        )
        return MetaLoss(losses.mean() + pull, task_metrics(self.kind, losses, outputs, examples.targets))


@register("learner", "reptile")
@dataclass(kw_only=True)
class ReptileSettings(LearnerSettings):
    """The settings of Reptile."""

    inner_steps: int = bounded(minimum=1)
    optimizer: str = one_of(*OPTIMIZERS)
    inner_lr: float = bounded(above=0)
    inner_batch: int | None = bounded(minimum=1)

    @property
    def draws_batches(self) -> bool:
        return self.inner_batch is not None

    def build(self, parts: Parts) -> Reptile:
        return Reptile(parts.model(), parts.kind, **self.values())
