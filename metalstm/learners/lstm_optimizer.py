"""An LSTM as the optimizer: its cell state is another network's weights (Ravi & Larochelle 2017).

Legend: T tasks, P coordinates (all weights of the network), H hidden.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from metalstm.config.fields import bounded, one_of
from metalstm.learners import cost
from metalstm.learners.base import Learner, LearnerSettings, MetaLoss, Parts
from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.objective import Kind, task_loss, task_metrics
from metalstm.nn.base import Model, Weights
from metalstm.nn.shared_lstm import SharedLSTM
from metalstm.registry import register
from metalstm.tasks.examples import Examples, TaskBatch

SCALE = 10.0  # p of `as_features`


class LSTMOptimizer(Learner):
    """Learns an update rule and the weights that it starts from.

    Every weight is a coordinate, and all share the optimizer. With g its gradient and l the support loss, a first LSTM
    reads both, and a second one's cell is the weight itself: w_t = f_t w_{t-1} - i_t g_t, where
    i_t = sig(W_i [s_t, w_{t-1}, i_{t-1}] + b_i), f_t likewise, and s_t is the first one's state. What the first LSTM
    reads is a constant to the outer loop, as in the paper; so is g_t in the update, if `order` is `first`.

    Args:
        model: the network that is trained by it; its weights are the learned start.
        kind: classification or regression.
        inner_steps: updates in training.
        hidden_size: H of the first LSTM.
        inner_lr: where the input gate starts: a rate of gradient descent.
        generator: draws the start.
        order: `first`, as in the paper; `second` differentiates through the gradient that a weight is moved by, as
            second-order MAML does.
    """

    def __init__(
        self,
        model: Model,
        kind: Kind,
        inner_steps: int,
        hidden_size: int,
        inner_lr: float,
        generator: torch.Generator,
        order: Literal["first", "second"] = "first",
    ) -> None:
        super().__init__()
        self.model = model
        self.adaptable = WholeModel(model)
        self.kind = kind
        self.inner_steps = inner_steps
        self.order = order
        self.lstm = SharedLSTM(4, hidden_size, 1, generator)
        gates = 0.01 * torch.randn(2, hidden_size + 2, generator=generator)
        self.input_weight, self.forget_weight = (nn.Parameter(gate) for gate in gates)
        self.input_bias = nn.Parameter(torch.tensor(math.log(inner_lr / (1 - inner_lr))))
        self.forget_bias = nn.Parameter(torch.tensor(6.0))  # a weight is kept

    def unroll(
        self, support: Examples, steps: int, generator: torch.Generator | None = None, start: Weights | None = None
    ) -> Iterator[Weights]:
        """Yield the weights before and after each update; `start`: those to start from, if not the learned ones."""
        encoded = self.adaptable.encode(support)
        start = self.adaptable.start(encoded, support) if start is None else start
        weights = torch.cat([weight.flatten(1) for weight in start.values()], dim=1)  # [T, P]
        state = self.lstm.zeros(weights.numel(), weights)
        input_gate = torch.full_like(weights, float(self.input_bias.detach().sigmoid()))
        forget_gate = torch.ones_like(weights)
        for step in range(steps + 1):
            yield self.by_name(weights, start)
            if step == steps:
                return
            gradient, losses = self.gradient(encoded, support.targets, weights, start, generator)
            loss = losses.detach().unsqueeze(1).expand_as(gradient)
            seen = torch.cat((as_features(gradient.detach()), as_features(loss)), dim=-1)
            read, state = self.lstm(seen.flatten(0, 1).unsqueeze(0), state)
            read = read.view(*weights.shape, -1)
            input_gate = self.gate(self.input_weight, self.input_bias, read, weights, input_gate)
            forget_gate = self.gate(self.forget_weight, self.forget_bias, read, weights, forget_gate)
            weights = forget_gate * weights - input_gate * gradient

    def gradient(
        self, encoded: object, targets: Tensor, weights: Tensor, start: Weights, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Return the gradient of the support loss with respect to the weights, [T, P], and the loss, [T]."""
        through = self.order == "second" and torch.is_grad_enabled()
        at = weights if through else weights.detach().requires_grad_()
        with torch.enable_grad():
            outputs = self.adaptable.outputs(encoded, self.by_name(at, start), generator)
            losses = task_loss(self.kind, outputs, targets)
            (gradient,) = torch.autograd.grad(losses.sum(), at, create_graph=through)
        return gradient, losses

    @staticmethod
    def gate(weight: Tensor, bias: Tensor, read: Tensor, weights: Tensor, before: Tensor) -> Tensor:
        """[T, P]: sig(W [s, w, gate before] + b)."""
        of_read, of_weight, of_before = weight[:-2], weight[-2], weight[-1]
        return torch.sigmoid(read @ of_read + of_weight * weights + of_before * before + bias)

    @staticmethod
    def by_name(weights: Tensor, like: Weights) -> dict[str, Tensor]:
        """[T, P] as the weights that it is made of."""
        sizes = [weight[0].numel() for weight in like.values()]
        parts = weights.split(sizes, dim=1)
        return {name: part.view(like[name].shape) for name, part in zip(like, parts, strict=True)}

    def meta_loss(self, tasks: TaskBatch, generator: torch.Generator | None = None, progress: float = 1.0) -> MetaLoss:
        *_, weights = self.unroll(tasks.support, self.inner_steps, generator)
        outputs = self.adaptable.outputs(self.adaptable.encode(tasks.query), weights, generator)
        losses = task_loss(self.kind, outputs, tasks.query.targets)
        return MetaLoss(losses.mean(), task_metrics(self.kind, losses, outputs, tasks.query.targets))

    def bytes_in_training(self, tasks: TaskBatch, least: bool = False) -> int:
        fixed = cost.bytes_of_inputs(self.model, tasks) + (self.inner_steps + 1) * self.bytes_of_update
        if self.order == "second":
            others = cost.bytes_of_pass(self.model, tasks.query, "once", 1 if least else None)
            return fixed + cost.bytes_of_inner_steps(self.model, tasks.support, self.inner_steps, others, False)
        return fixed + max(cost.bytes_of_pass(self.model, part, "once", 1 if least else None) for part in tasks[:2])

    def bytes_in_evaluation(self, tasks: TaskBatch) -> int:
        return super().bytes_in_evaluation(tasks) + 2 * self.bytes_of_update

    @property
    def bytes_of_update(self) -> int:
        """Count, for every coordinate, the first LSTM's tape and states, and both gates' terms."""
        return (10 * self.lstm.hidden + 20) * cost.bytes_of(self.model.parameters())

    def adapt(self, support: Examples, steps: int, adapted: Weights | None = None) -> Iterator[Weights]:
        return self.unroll(support, steps, start=adapted)

    def predict(self, adapted: Weights, query: Any) -> Tensor:
        return self.adaptable.outputs(query, adapted)

    def encode(self, query: Examples) -> Any:
        return self.adaptable.encode(query)


def as_features(values: Tensor) -> Tensor:
    """Numbers of any size as two features near [-1, 1] each, [..., 2]: log-scaled size, and sign.

    Ravi & Larochelle 2017, appendix: (log|x| / p, sign x) where |x| >= e^-p, else (-1, e^p x).
    """
    large = values.abs() >= math.exp(-SCALE)
    size = torch.where(large, values.abs().clamp(min=math.exp(-SCALE)).log() / SCALE, -1.0)
    sign = torch.where(large, values.sign(), math.exp(SCALE) * values)
    return torch.stack((size, sign), dim=-1)


@register("learner", "lstm_optimizer")
@dataclass(kw_only=True)
class LSTMOptimizerSettings(LearnerSettings):
    """The settings of the LSTM optimizer."""

    inner_steps: int = bounded(minimum=1)
    hidden_size: int = bounded(minimum=1)
    inner_lr: float = bounded(above=0, below=1)
    order: str = one_of("first", "second")

    def build(self, parts: Parts) -> LSTMOptimizer:
        return LSTMOptimizer(parts.model(), parts.kind, generator=parts.generator, **self.values())
