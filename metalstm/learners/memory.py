"""An LSTM that learns by reading: its state is what it has learned (Hochreiter et al. 2001; Santoro et al. 2016).

Legend: T tasks, K support examples, Q query examples, W features, O outputs, H hidden.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metalstm.config.fields import bounded, one_of
from metalstm.errors import Problem
from metalstm.learners.base import LearnerSettings, Parts
from metalstm.learners.gradient_free import GradientFreeLearner
from metalstm.learners.objective import Kind
from metalstm.nn.base import Model
from metalstm.nn.shared_lstm import SharedLSTM, State
from metalstm.registry import register


class Remembered(NamedTuple):
    """The state of a memory after reading the support sets of T tasks."""

    state: list[State]  # [T, H] of each layer, after the last example
    label: Tensor  # [T, O], that stands beside a query
    features: Tensor  # [T, K, W] of every example
    labels: Tensor  # [T, K, O], theirs as numbers
    stored: Tensor  # [T, K, H], the last layer's hidden state after each


class Reading(NamedTuple):
    """How a memory reads.

    Args:
        support: `sequential`: one example after another, in an order drawn at random; `pooled`: every example from the
            same state, and the mean of the states after it, so that their order does not matter (Huisman et al. 2023).
        labels: `joined`: an example's label stands beside it; `offset`: beside the next one (Santoro et al. 2016).
        read: `state`: a query is answered from the state alone; `content`: also from what was stored at the examples
            most like it, by cosine similarity (the reading head of Santoro et al. 2016): state after it, and label.
        passes: how often the support set is read; each time from where the last one ended.
    """

    support: Literal["sequential", "pooled"]
    labels: Literal["joined", "offset"]
    read: Literal["state", "content"]
    passes: int


class Memory(GradientFreeLearner):
    """A second LSTM reads the support set's features with their labels, then each query by itself.

    Args:
        encoder: a model without a head.
        kind: classification or regression.
        outputs: O.
        hidden_size, layers: of the LSTM that reads.
        reading: how it reads.
        generator: draws the start.
    """

    def __init__(
        self,
        encoder: Model,
        kind: Kind,
        outputs: int,
        hidden_size: int,
        layers: int,
        reading: Reading,
        generator: torch.Generator,
    ) -> None:
        super().__init__(encoder, kind, outputs)
        width = encoder.shape.feature_size
        self.lstm = SharedLSTM(width + outputs, hidden_size, layers, generator)
        self.reading = reading
        adapted = hidden_size
        if reading.read == "content":
            adapted += hidden_size + outputs
            self.key = nn.Parameter(nn.init.orthogonal_(torch.empty(hidden_size, width), generator=generator))
            self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.head_weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(outputs, adapted), generator=generator))
        self.head_bias = nn.Parameter(torch.zeros(outputs))

    def nothing(self, support: Tensor) -> Remembered:
        """Return what is known before anything was read."""
        tasks, _, width = support.shape
        state = self.lstm.zeros(tasks, support)
        label, features, labels, stored = (
            support.new_zeros(tasks, *shape)
            for shape in ((self.outputs,), (0, width), (0, self.outputs), (0, self.lstm.hidden))
        )
        return Remembered(state, label, features, labels, stored)

    def read(
        self,
        support: Tensor,
        targets: Tensor,
        adapted: Remembered | None = None,
        generator: torch.Generator | None = None,
    ) -> Remembered:
        tasks, count = support.shape[:2]
        adapted = self.nothing(support) if adapted is None else adapted
        if count == 0:
            return adapted
        labels = self.as_numbers(targets, support)
        if self.reading.support == "sequential":
            order = self.order(count, generator)
            support, labels = support[:, order], labels[:, order]
        state, label, beside = adapted.state, adapted.label, labels
        if self.reading.labels == "offset":
            beside = torch.cat((label.unsqueeze(1), labels[:, :-1]), dim=1)
            label = labels[:, -1]
        tokens = torch.cat((support, beside), dim=-1)
        for _ in range(self.reading.passes):
            if self.reading.support == "sequential":
                after, state = self.lstm(tokens.transpose(0, 1), state)
                stored = after.transpose(0, 1)
            else:
                after, states = self.lstm(
                    tokens.flatten(0, 1).unsqueeze(0), [repeated(layer, count) for layer in state]
                )
                stored = after.view(tasks, count, -1)
                state = [(h.view(tasks, count, -1).mean(1), c.view(tasks, count, -1).mean(1)) for h, c in states]
        everything = zip(adapted[2:], (support, labels, stored), strict=True)
        return Remembered(state, label, *(torch.cat(both, dim=1) for both in everything))

    def predict(self, adapted: Remembered, query: Tensor) -> Tensor:
        tasks, count = query.shape[:2]
        beside = adapted.label.unsqueeze(1).expand(-1, count, -1)
        tokens = torch.cat((query, beside), dim=-1).flatten(0, 1).unsqueeze(0)
        answers, _ = self.lstm(tokens, [repeated(layer, count) for layer in adapted.state])
        answers = answers.view(tasks, count, -1)
        if self.reading.read == "content":
            answers = torch.cat((answers, self.recall(adapted, query)), dim=-1)
        return functional.linear(answers, self.head_weight, self.head_bias)

    def recall(self, adapted: Remembered, query: Tensor) -> Tensor:
        """Return what was stored at the examples most like a query: [T, Q, H + O]."""
        asked, keys = (functional.normalize(features @ self.key.T, dim=-1) for features in (query, adapted.features))
        attention = (self.sharpness * asked @ keys.mT).softmax(dim=-1)  # [T, Q, K]
        return attention @ torch.cat((adapted.stored, adapted.labels), dim=-1)

    @staticmethod
    def order(count: int, generator: torch.Generator | None) -> Tensor:
        """Return the order that examples are read in, the same for all tasks.

        Without a generator always the same one.
        """
        if generator is None:
            generator = torch.Generator().manual_seed(0)
        return torch.randperm(count, generator=generator)


def repeated(state: State, count: int) -> State:
    """Return a state [T, H] for each of `count` sequences of a task: [T * count, H]."""
    h, c = state
    return h.repeat_interleave(count, dim=0), c.repeat_interleave(count, dim=0)


@register("learner", "memory")
@dataclass(kw_only=True)
class MemorySettings(LearnerSettings):
    """The settings of the memory."""

    steps_are_shots: ClassVar[bool] = True

    hidden_size: int = bounded(minimum=1)
    layers: int = bounded(minimum=1, maximum=100)
    support: str = one_of("sequential", "pooled")
    labels: str = one_of("joined", "offset")
    read: str = one_of("state", "content")
    passes: int = bounded(minimum=1)

    def problems(self, run: Any) -> Iterator[Problem]:
        if self.support == "pooled" and self.labels == "offset":
            yield Problem(
                "learner.labels=offset, but with learner.support=pooled no example comes after another",
                "use learner.labels=joined, or learner.support=sequential",
            )

    def build(self, parts: Parts) -> Memory:
        reading = Reading(self.support, self.labels, self.read, self.passes)  # type: ignore[arg-type]
        sizes = parts.outputs, self.hidden_size, self.layers
        return Memory(parts.model(0), parts.kind, *sizes, reading, parts.generator)
