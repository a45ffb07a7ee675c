"""The interface of a model: it prepares inputs, reads them into features, and its linear head predicts.

Legend: T tasks, B examples, S time steps, F features of a step, W features read, O outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from metalstm.config.component import ComponentSettings
from metalstm.errors import Problem
from metalstm.nn.slices import Weights, read_in_slices
from metalstm.runtime.budget import BUDGET

__all__ = ["Model", "Shape", "Weights"]

# How often what a pass leaves behind can be differentiated: not at all, once, or through its gradient as well.
Keeps = Literal["nothing", "once", "twice"]

FLOAT = 4  # bytes
HEAD = ("head_weight", "head_bias")


class Shape(Protocol):
    """The sizes that decide a model's weights."""

    @property
    def outputs(self) -> int:
        """O: ways, or the numbers to predict; 0: a model without a head, which only reads."""

    @property
    def feature_size(self) -> int:
        """W."""

    @property
    def dropout(self) -> float:
        """The share of features that training drops."""

    @property
    def one_length(self) -> bool:
        """Whether inputs of one length alone are read."""

    def build(self, generator: torch.Generator) -> Model:
        """Return a model of this shape; its start comes from `generator`."""


class Inputs(NamedTuple):
    """The inputs of a dataset, as far as they decide a model's shape."""

    dataset: str  # its name
    steps: int | None  # S; None: inputs have no fixed length
    features: int  # F
    images: bool  # whether they can be read along their columns as well
    vocabulary: int  # V, tokens; 0: inputs are numbers
    rarity: Tensor | None  # [V], see `LSTMShape`; None: inputs are numbers, or it is not known


@dataclass(kw_only=True)
class ModelSettings(ComponentSettings):
    """The settings of a model."""

    takes_higher: ClassVar[bool] = False  # whether the inner loop's engine `higher` can adapt it

    def unfit(self, inputs: Inputs) -> list[Problem]:
        """Return why the model cannot read such inputs."""
        return []

    def shape(self, inputs: Inputs, outputs: int) -> Shape:
        """Return the shape of a model that reads such inputs.

        Raises:
            ConfigError: it cannot read them.
        """
        raise NotImplementedError


class Size(NamedTuple):
    """The size of one task's inputs."""

    examples: int  # B
    steps: int  # S
    width: int  # of a step: F, or the number of its tokens


class Model(ABC, nn.Module):
    """A task-batched model: every weight may have a tasks axis. Its parameters are one start, without that axis."""

    shape: Shape

    def add_head(self, shape: Shape) -> None:
        """Add a head that starts at zero, so that it prefers no class before it has seen one."""
        self.head_weight = nn.Parameter(torch.zeros(shape.outputs, shape.feature_size))
        self.head_bias = nn.Parameter(torch.zeros(shape.outputs))

    @abstractmethod
    def prepare(self, inputs: Tensor, lengths: Tensor | None = None) -> Any:
        """Lays inputs out for reading, once for however many passes.

        Args:
            inputs: [T, B, S, F].
            lengths: [T, B] int64, 1 <= length <= S: how many steps of a sequence are real; None: all.
        """

    def read(self, prepared: Any, weights: Weights, generator: torch.Generator | None = None) -> Tensor:
        """Return the features of prepared inputs, [T, B, W]: everything but the head; in slices where memory is short.

        Args:
            prepared: from `prepare`.
            weights: every task's fast weights.
            generator: draws the dropout masks; None switches dropout off.
        """
        size = self.size_of(prepared)
        kept = torch.is_grad_enabled() and any(weight.requires_grad for weight in weights.values())
        bytes_of_all = len(next(iter(weights.values()))) * self.bytes_of_pass(size, "once" if kept else "nothing")
        if BUDGET.allows(bytes_of_all):
            return self.read_whole(prepared, weights, generator)
        at_a_time = BUDGET.share(size.examples, bytes_of_all)
        slices = [self.part(prepared, slice(first, first + at_a_time)) for first in range(0, size.examples, at_a_time)]
        return read_in_slices(self.read_whole, slices, weights, generator)

    @abstractmethod
    def read_whole(self, prepared: Any, weights: Weights, generator: torch.Generator | None = None) -> Tensor:
        """See `read`: all examples at once."""

    @abstractmethod
    def size_of(self, prepared: Any) -> Size:
        """Return the size of prepared inputs."""

    @abstractmethod
    def part(self, prepared: Any, which: slice) -> Any:
        """Return some of the examples of prepared inputs."""

    @abstractmethod
    def bytes_of_pass(self, size: Size, keeps: Keeps) -> int:
        """Return the memory that a pass of one task's examples takes at its peak, but for its inputs and the weights.

        Args:
            size: of the inputs.
            keeps: `nothing`: a prediction; `once`: with its gradient; `twice`: with a gradient that is itself
                differentiated, and its derivative.
        """

    @property
    @abstractmethod
    def layouts(self) -> int:
        """How many times `prepare` lays inputs out."""

    def start(self, tasks: int) -> dict[str, Tensor]:
        """Return the model's own weights, as every task's before it has adapted: [T, ...] each, not copied."""
        return {name: weight.expand(tasks, *weight.shape) for name, weight in self.named_parameters()}

    def head(self, features: Tensor, weights: Weights) -> Tensor:
        """Features [T, B, W] to outputs [T, B, O]."""
        outputs = torch.baddbmm(weights["head_bias"].unsqueeze(1), features, weights["head_weight"].transpose(1, 2))
        return outputs.to(features.dtype)  # which autocast may have rounded

    def predict(self, prepared: Any, weights: Weights, generator: torch.Generator | None = None) -> Tensor:
        """Return the outputs for prepared inputs, [T, B, O]."""
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
        return self.predict(self.prepare(inputs, lengths), weights, generator)

    def drop(self, values: Tensor, generator: torch.Generator | None) -> Tensor:
        """Inverted dropout; the identity without a generator."""
        if generator is None or self.shape.dropout == 0:
            return values
        keep = 1 - self.shape.dropout
        mask = torch.rand(values.shape, generator=generator).to(values.device) < keep
        return values * mask / keep
