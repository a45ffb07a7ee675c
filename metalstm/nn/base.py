"""What a model is to the learners: it lays inputs out, reads them into features, and its linear head answers.

Legend: T tasks, B examples, S time steps, F features of a step, W features read, O outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

Weights = Mapping[str, Tensor]  # by name, each [T, ...]: every task its own

HEAD = ("head_weight", "head_bias")


class Shape(Protocol):
    """What decides a model's weights."""

    @property
    def outputs(self) -> int:
        """O: ways, or the numbers to predict; 0: a model without a head, which only reads."""

    @property
    def joined_features(self) -> int:
        """W."""

    @property
    def dropout(self) -> float:
        """The share of features that training drops."""

    def build(self, generator: torch.Generator) -> Model:
        """A model of this shape; its start comes from `generator`."""


class Model(ABC, nn.Module):
    """A task-batched model: every weight may have a tasks axis. Its parameters are one start, without that axis."""

    shape: Shape

    def add_head(self, shape: Shape) -> None:
        """A head that starts at zero, so that it prefers no class before it has seen one."""
        self.head_weight = nn.Parameter(torch.zeros(shape.outputs, shape.joined_features))
        self.head_bias = nn.Parameter(torch.zeros(shape.outputs))

    @abstractmethod
    def prepare(self, inputs: Tensor, lengths: Tensor | None = None) -> Any:
        """Lays inputs out for reading, once for however many passes.

        Args:
            inputs: [T, B, S, F].
            lengths: [T, B] int64, 1 <= length <= S: how many steps of a sequence are real; None: all.
        """

    @abstractmethod
    def read(self, prepared: Any, weights: Weights, generator: torch.Generator | None = None) -> Tensor:
        """The features of prepared inputs, [T, B, W]: everything but the head.

        Args:
            prepared: from `prepare`.
            weights: every task's fast weights.
            generator: draws the dropout masks; None switches dropout off.
        """

    def start(self, tasks: int) -> dict[str, Tensor]:
        """The model's own weights, as every task's before it has adapted: [T, ...] each, not copied."""
        return {name: weight.expand(tasks, *weight.shape) for name, weight in self.named_parameters()}

    def head(self, features: Tensor, weights: Weights) -> Tensor:
        """Features [T, B, W] to outputs [T, B, O]."""
        outputs = torch.baddbmm(weights["head_bias"].unsqueeze(1), features, weights["head_weight"].transpose(1, 2))
        return outputs.to(features.dtype)  # which autocast may have rounded

    def answer(self, prepared: Any, weights: Weights, generator: torch.Generator | None = None) -> Tensor:
        """The outputs for prepared inputs, [T, B, O]."""
        return self.head(self.read(prepared, weights, generator), weights)

    def forward(
        self,
        inputs: Tensor,
        lengths: Tensor | None = None,
        weights: Weights | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """[T, B, S, F] to [T, B, O], with the model's own weights where none are given."""
        weights = self.start(len(inputs)) if weights is None else weights
        return self.answer(self.prepare(inputs, lengths), weights, generator)

    def drop(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        """Inverted dropout; the identity without a generator."""
        if generator is None or self.shape.dropout == 0:
            return values
        keep = 1 - self.shape.dropout
        mask = torch.rand(values.shape, generator=generator).to(values.device) < keep
        return values * mask / keep
