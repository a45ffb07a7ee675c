"""OP-LSTM: an LSTM state made of outer products, which is the weight matrix of the last layer (Huisman et al. 2023).

Legend: T tasks, K support examples, Q query examples, W features, O outputs, H hidden.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from metalstm.config.fields import bounded
from metalstm.learners.base import LearnerSettings, Parts
from metalstm.learners.gradient_free import GradientFreeLearner
from metalstm.learners.inner_loop.adaptation import read_by_all
from metalstm.learners.objective import Kind
from metalstm.nn.base import Model
from metalstm.nn.shared_lstm import SharedLSTM
from metalstm.registry import register
from metalstm.tasks.examples import Examples


class OPLSTM(GradientFreeLearner):
    """A matrix M [O, W] answers queries x with M x. It is updated by reading the support set, once a step.

    A coordinate-wise LSTM looks at each output of each example: its target, and what M predicts. What it says, r [O],
    changes M by the mean over examples of the outer products r x', scaled to a learned length. So M can become that of
    a prototypical network (r: the one-hot label) or that of gradient descent (r: the error).

    Args:
        encoder: a model without a head.
        kind: classification or regression.
        outputs: O.
        inner_steps: how often the support set is read.
        hidden_size: H of the coordinate-wise LSTM.
        generator: draws the start.
    """

    def __init__(
        self, encoder: Model, kind: Kind, outputs: int, inner_steps: int, hidden_size: int, generator: torch.Generator
    ) -> None:
        super().__init__(encoder, kind, outputs)
        width = encoder.shape.feature_size
        self.inner_steps = inner_steps
        self.lstm = SharedLSTM(2, hidden_size, 1, generator)
        self.say = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, hidden_size), generator=generator))
        self.matrix = nn.Parameter(torch.zeros(outputs, width + 1))  # with the bias
        self.length = nn.Parameter(torch.ones(()))

    def matrices(self, support: Tensor, targets: Tensor, steps: int, start: Tensor | None = None) -> Iterator[Tensor]:
        """M before reading and after each of `steps` times, [T, O, W + 1]; `start`: not the learned M, but this."""
        support = with_one(support)
        tasks, count = support.shape[:2]
        labels = self.as_numbers(targets, support)
        matrix = self.matrix.expand(tasks, -1, -1) if start is None else start
        state = self.lstm.zeros(tasks * count * self.outputs, support)
        for step in range(steps + 1):
            yield matrix
            if step == steps:
                return
            predictions = support @ matrix.mT
            if self.kind == "classification":
                predictions = predictions.softmax(dim=-1)
            seen = torch.stack((labels, predictions), dim=-1).flatten(0, 2)  # [T * K * O, 2]
            after, state = self.lstm(seen.unsqueeze(0), state)
            said = functional.linear(after, self.say).view(tasks, count, self.outputs)
            update = said.mT @ support / count
            norm = update.flatten(1).norm(dim=1).clamp(min=1e-12)
            matrix = matrix + self.length * update / norm.view(-1, 1, 1)

    def read(
        self,
        support: Tensor,
        targets: Tensor,
        adapted: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        *_, matrix = self.matrices(support, targets, self.inner_steps, adapted)
        return matrix

    def predict(self, adapted: Tensor, query: Tensor) -> Tensor:
        return with_one(query) @ adapted.mT

    def adapt(self, support: Examples, steps: int, adapted: Tensor | None = None) -> Iterator[Tensor]:
        """Return what is known after reading the support set once, twice, ..."""
        return self.matrices(read_by_all(self.encoder, support), support.targets, steps, adapted)


def with_one(features: Tensor) -> Tensor:
    """[T, B, W] to [T, B, W + 1]: a last feature that is always 1, for the bias."""
    return functional.pad(features, (0, 1), value=1.0)


@register("learner", "op_lstm")
@dataclass(kw_only=True)
class OPLSTMSettings(LearnerSettings):
    """The settings of the outer-product LSTM."""

    inner_steps: int = bounded(minimum=1)
    hidden_size: int = bounded(minimum=1)

    def build(self, parts: Parts) -> OPLSTM:
        return OPLSTM(parts.model(0), parts.kind, parts.outputs, generator=parts.generator, **self.values())
