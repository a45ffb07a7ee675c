"""An LSTM that learns by reading: its state is what it has learned (Hochreiter et al. 2001; Santoro et al. 2016).

Legend: T tasks, K support examples, Q query examples, W features, O outputs, H hidden.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from metalstm.learners.objective import Kind
from metalstm.learners.shots import ShotLearner
from metalstm.nn.base import Model
from metalstm.nn.shared import SharedLSTM, State


class Memory(ShotLearner):
    """A second LSTM reads the support set's features with their labels, then each query by itself.

    Args:
        encoder: a model without a head.
        kind: classification or regression.
        outputs: O.
        hidden_size, layers: of the LSTM that reads.
        support: `sequential`: one example after another, in an order drawn at random; `pooled`: every example from the
            same state, and the mean of the states after it, so that their order does not matter (Huisman et al. 2023).
        labels: `joined`: an example's label stands beside it; `offset`: beside the next one (Santoro et al. 2016).
        read: `state`: a query is answered from the state alone; `content`: also from what was stored at the examples
            most like it, by cosine similarity (the reading head of Santoro et al. 2016): state after it, and label.
        passes: how often the support set is read; each time from where the last one ended.
        generator: draws the start.
    """

    def __init__(
        self,
        encoder: Model,
        kind: Kind,
        outputs: int,
        hidden_size: int,
        layers: int,
        support: Literal["sequential", "pooled"],
        labels: Literal["joined", "offset"],
        read: Literal["state", "content"],
        passes: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__(encoder, kind, outputs)
        width = encoder.shape.joined_features
        self.lstm = SharedLSTM(width + outputs, hidden_size, layers, generator)
        self.support = support
        self.labels = labels
        self.read = read
        self.passes = passes
        known = hidden_size
        if read == "content":
            known += hidden_size + outputs
            self.key = nn.Parameter(nn.init.orthogonal_(torch.empty(hidden_size, width), generator=generator))
            self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.head_weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(outputs, known), generator=generator))
        self.head_bias = nn.Parameter(torch.zeros(outputs))

    def answers(
        self, support: Tensor, targets: Tensor, query: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        labels = self.as_numbers(targets, query)
        if self.support == "sequential":
            order = self.order(support.shape[1], generator)
            support, labels = support[:, order], labels[:, order]
        state, stored, last_label = self.read_support(support, labels, query)
        tasks, count = query.shape[:2]
        beside = last_label.unsqueeze(1).expand(-1, count, -1)
        tokens = torch.cat((query, beside), dim=-1).flatten(0, 1).unsqueeze(0)
        answers, _ = self.lstm(tokens, [repeated(layer, count) for layer in state])
        known = answers.view(tasks, count, -1)
        if self.read == "content":
            known = torch.cat((known, self.recall(support, stored, labels, query)), dim=-1)
        return functional.linear(known, self.head_weight, self.head_bias)

    def read_support(self, support: Tensor, labels: Tensor, query: Tensor) -> tuple[list[State], Tensor, Tensor]:
        """The state [T, H] of each layer after the support set, the last layer's hidden state after each example
        [T, K, H], and the label [T, O] that stands beside a query."""
        tasks, count = support.shape[:2]
        state = self.lstm.zeros(tasks, query)
        beside_query = labels.new_zeros(tasks, self.outputs)
        stored = query.new_zeros(tasks, count, self.lstm.hidden)
        if count == 0:
            return state, stored, beside_query
        beside = labels
        if self.labels == "offset":
            beside = torch.cat((beside_query.unsqueeze(1), labels[:, :-1]), dim=1)
            beside_query = labels[:, -1]
        tokens = torch.cat((support, beside), dim=-1)
        for _ in range(self.passes):
            if self.support == "sequential":
                after, state = self.lstm(tokens.transpose(0, 1), state)
                stored = after.transpose(0, 1)
            else:
                after, states = self.lstm(
                    tokens.flatten(0, 1).unsqueeze(0), [repeated(layer, count) for layer in state]
                )
                stored = after.view(tasks, count, -1)
                state = [(h.view(tasks, count, -1).mean(1), c.view(tasks, count, -1).mean(1)) for h, c in states]
        return state, stored, beside_query

    def recall(self, support: Tensor, stored: Tensor, labels: Tensor, query: Tensor) -> Tensor:
        """What was stored at the support examples most like a query: [T, Q, H + O]."""
        asked, keys = (functional.normalize(features @ self.key.T, dim=-1) for features in (query, support))
        attention = (self.sharpness * asked @ keys.mT).softmax(dim=-1)  # [T, Q, K]
        return attention @ torch.cat((stored, labels), dim=-1)

    @staticmethod
    def order(count: int, generator: torch.Generator | None) -> Tensor:
        """The order that examples are read in, the same for all tasks; without a generator always the same one."""
        if generator is None:
            generator = torch.Generator().manual_seed(0)
        return torch.randperm(count, generator=generator)


def repeated(state: State, count: int) -> State:
    """A state [T, H] for each of `count` sequences of a task: [T * count, H]."""
    h, c = state
    return h.repeat_interleave(count, dim=0), c.repeat_interleave(count, dim=0)
