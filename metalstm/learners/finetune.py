"""Pre-training on all meta-train classes at once, then fine-tuning: the baseline that every meta-learner must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from metalstm.config.fields import bounded, one_of
from metalstm.learners.base import LearnerSettings, MetaLoss, Parts
from metalstm.learners.inner_loop.adaptation import Adaptable, HeadOnly, WholeModel
from metalstm.learners.inner_loop.optimizer_steps import OPTIMIZERS, Optimizer, OptimizerLearner
from metalstm.learners.objective import Kind, task_loss, task_metrics
from metalstm.nn.base import Model
from metalstm.registry import register
from metalstm.tasks.examples import TaskBatch


class FineTune(OptimizerLearner):
    """One classifier of all meta-train classes; a task gets a new head, and trains it or everything.

    Where an output means the same in all tasks (regression, or a person's likes and dislikes), one model is trained on
    all tasks' examples, and a task goes on from its head.

    Args:
        adaptable: what a task trains, of a model with an output for every meta-train class.
        kind: classification or regression.
        inner_steps: of fine-tuning.
        optimizer, inner_lr: of fine-tuning; None: see `pick_rate`.
        same_outputs: whether an output means the same in all tasks.
    """

    def __init__(
        self,
        adaptable: Adaptable,
        kind: Kind,
        inner_steps: int,
        optimizer: Optimizer,
        inner_lr: float | None,
        same_outputs: bool,
    ) -> None:
        super().__init__(adaptable, kind, optimizer, inner_lr)
        self.model = adaptable.model
        self.same_outputs = same_outputs
        self.trains_on_all_classes = not same_outputs
        self.inner_steps = inner_steps

    @property
    def adapted_model(self) -> Model:
        return self.model

    def meta_loss(self, tasks: TaskBatch, generator: torch.Generator | None = None, progress: float = 1.0) -> MetaLoss:
        """Return the loss of one model for all tasks; where outputs differ in meaning a label is a class of all."""
        examples = tasks.merged()
        targets = examples.targets
        if not self.same_outputs:
            assert tasks.classes is not None
            targets = tasks.classes.gather(1, targets)
        together = examples._replace(targets=targets).folded()
        prepared = self.model.prepare(together.inputs, together.lengths)
        outputs = self.model.predict(prepared, self.model.start(1), generator)
        outputs = outputs.view(*examples.inputs.shape[:2], -1)
        losses = task_loss(self.kind, outputs, targets)
        return MetaLoss(losses.mean(), task_metrics(self.kind, losses, outputs, targets))


@register("learner", "finetune")
@dataclass(kw_only=True)
class FineTuneSettings(LearnerSettings):
    """The settings of fine-tuning."""

    any_ways: ClassVar[bool] = True  # its answers are made of the support set
    trains_inner_loop: ClassVar[bool] = False

    adapts: str = one_of("head", "all")
    inner_steps: int = bounded(minimum=1)
    optimizer: str = one_of(*OPTIMIZERS)
    inner_lr: float | None = bounded(above=0)

    def build(self, parts: Parts) -> FineTune:
        given = self.values()
        adapting = HeadOnly if given.pop("adapts") == "head" else WholeModel
        ways = None if parts.same_outputs else parts.outputs
        adaptable = adapting(parts.model(parts.pretraining_outputs), ways)
        return FineTune(adaptable, parts.kind, same_outputs=parts.same_outputs, **given)
