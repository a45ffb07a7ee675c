"""Model-agnostic meta-learning: a start from which a few gradient steps learn a task (Finn et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from metalstm.learners.base import Learner, Outcome
from metalstm.learners.higher_engine import HigherEngine
from metalstm.learners.inner_loop import BatchedEngine, Engine
from metalstm.learners.objective import Kind, metric_name, task_loss, task_metric
from metalstm.learners.rates import InnerRates
from metalstm.nn.model import LSTMModel
from metalstm.tasks.examples import TaskBatch

ENGINES: dict[str, type[BatchedEngine] | type[HigherEngine]] = {"batched": BatchedEngine, "higher": HigherEngine}


class MAML(Learner):
    """Meta-learns the weights that the inner loop starts from, and its rates if they are learned.

    Args:
        model: the LSTM; its weights are the start.
        kind: classification or regression.
        inner_steps: gradient steps on the support set in training.
        inner_lr: their rate, or where learned rates start.
        learned_rates: a learned rate for every weight and step.
        order: `second` differentiates through the inner gradients, `first` takes them as constants (FOMAML).
        engine: `batched`, all tasks at once; `higher`, one at a time.
    """

    def __init__(
        self,
        model: LSTMModel,
        kind: Kind,
        inner_steps: int,
        inner_lr: float,
        learned_rates: bool = False,
        order: Literal["first", "second"] = "second",
        engine: str = "batched",
    ) -> None:
        super().__init__()
        self.model = model
        self.rates = InnerRates(dict(model.named_parameters()), inner_lr, inner_steps, learned_rates)
        self.kind = kind
        self.inner_steps = inner_steps
        self.order = order
        self.engine: Engine = ENGINES[engine](model, self.rates, kind)

    def meta_loss(self, tasks: TaskBatch, generator: torch.Generator | None = None) -> Outcome:
        """The query loss after adapting, averaged over tasks: Finn et al. 2017, Algorithm 2, line 8."""
        if self.engine.one_task_at_a_time:
            return self.meta_loss_task_by_task(tasks, generator)
        losses, outputs = self.query_losses(tasks, generator)
        return Outcome(losses.mean(), self.metrics(losses, outputs, tasks))

    def query_losses(self, tasks: TaskBatch, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Each task's loss on its query set after adapting, [T], and the predictions it stands on, [T, Q, O]."""
        for predict in self.engine.adapt(tasks.support, self.inner_steps, self.order, generator):
            adapted = predict
        outputs = adapted(tasks.query.inputs)
        return task_loss(self.kind, outputs, tasks.query.targets), outputs

    def meta_loss_task_by_task(self, tasks: TaskBatch, generator: torch.Generator | None) -> Outcome:
        """The same, with the graph of one task in memory at a time.

        Each task's gradient is taken at once and its graph let go; the loss returned has their mean as its gradient.
        """
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        total = [torch.zeros_like(parameter) for parameter in parameters]
        all_losses, all_outputs = [], []
        for index in range(tasks.tasks):
            losses, outputs = self.query_losses(tasks.task(index), generator)
            if losses.requires_grad:
                gradients = torch.autograd.grad(losses.sum() / tasks.tasks, parameters, allow_unused=True)
                for sum_, gradient in zip(total, gradients, strict=True):
                    if gradient is not None:
                        sum_ += gradient
            all_losses.append(losses.detach())
            all_outputs.append(outputs.detach())
        losses = torch.cat(all_losses)
        with_gradient = losses.mean() + sum(
            ((parameter - parameter.detach()) * gradient).sum()
            for parameter, gradient in zip(parameters, total, strict=True)
        )
        return Outcome(with_gradient, self.metrics(losses, torch.cat(all_outputs), tasks))

    def metrics(self, losses: Tensor, outputs: Tensor, tasks: TaskBatch) -> dict[str, Tensor]:
        return {
            "loss": losses.detach(),
            metric_name(self.kind): task_metric(self.kind, outputs.detach(), tasks.query.targets),
        }

    @torch.no_grad()
    def adaptation_curve(self, tasks: TaskBatch, at: Sequence[int]) -> Tensor:
        """Query predictions after each number of inner steps in `at`: [len(at), T, Q, O]."""
        if self.engine.one_task_at_a_time and tasks.tasks > 1:
            return torch.cat([self.adaptation_curve(tasks.task(i), at) for i in range(tasks.tasks)], dim=1)
        adapted = enumerate(self.engine.adapt(tasks.support, max(at), "none"))
        return torch.stack([predict(tasks.query.inputs) for step, predict in adapted if step in at])
