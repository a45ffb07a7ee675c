"""MAML++: MAML with a meta-loss of several inner steps and first-order steps at first (Antoniou et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metalstm.config.fields import bounded, one_of
from metalstm.errors import Problem
from metalstm.learners.base import Parts
from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.inner_loop.batched import Order
from metalstm.learners.maml import MAML, ByGradientSettings, beyond_higher
from metalstm.learners.objective import task_loss
from metalstm.registry import register
from metalstm.tasks.examples import TaskBatch


class MAMLPlusPlus(MAML):
    """MAML with the additions of the paper, but for those to batch norm.

    Its learned rates for each layer and step, and its cosine schedule of the outer rate, are settings that MAML has.

    Args:
        multi_step_until: the part of the outer loop over which the meta-loss passes from the mean of all inner steps'
            query losses to the last one's ("multi-step loss optimization").
        second_order_from: the part of the outer loop that is first order ("derivative-order annealing").
        **maml: as of `MAML`.
    """

    def __init__(self, *, multi_step_until: float, second_order_from: float, **maml: Any) -> None:
        super().__init__(**maml)
        self.multi_step_until = multi_step_until
        self.queries_kept = self.inner_steps if multi_step_until > 0 else 1
        self.second_order_from = second_order_from

    def query_losses(
        self, tasks: TaskBatch, generator: torch.Generator | None, progress: float
    ) -> tuple[Tensor, Tensor]:
        importance = self.importance(progress)
        order: Order = "first" if progress < self.second_order_from else "second"
        order = self.saving_memory(tasks, order)
        losses = torch.zeros(())
        query = self.engine.encode(tasks.query, generator)
        for step, predict in enumerate(self.engine.adapt(tasks.support, self.inner_steps, order, generator)):
            if step > 0 and importance[step - 1] > 0:
                outputs = predict(query)
                losses = losses + importance[step - 1] * task_loss(self.kind, outputs, tasks.query.targets)
        return losses, outputs

    def importance(self, progress: float) -> list[float]:
        """Return the weight of the query loss after inner step 1, 2, ...; they sum to 1."""
        others = 0.0
        if progress < self.multi_step_until:
            others = (1 - progress / self.multi_step_until) / self.inner_steps
        return [others] * (self.inner_steps - 1) + [1 - others * (self.inner_steps - 1)]


@register("learner", "mamlpp")
@dataclass(kw_only=True)
class MAMLPlusPlusSettings(ByGradientSettings):
    """The settings of MAML++."""

    engine: str = one_of("batched", "higher")
    gradient_checkpointing: bool
    multi_step_until: float = bounded(minimum=0, maximum=1)
    second_order_from: float = bounded(minimum=0, maximum=1)

    def problems(self, run: Any) -> Iterator[Problem]:
        if self.engine == "higher":
            yield from beyond_higher(self.gradient_checkpointing, run)

    def build(self, parts: Parts) -> MAMLPlusPlus:
        return MAMLPlusPlus(adaptable=WholeModel(parts.model()), **self.inner_loop(parts))
