"""A task-batched multi-layer perceptron: the control beside the LSTM.

Legend: T tasks, B examples, S time steps, F features, W the width of the last layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metalstm.config.fields import bounded
from metalstm.errors import ConfigError
from metalstm.nn.base import FLOAT, Inputs, Keeps, Model, ModelSettings, Size, Weights
from metalstm.registry import register


class MLPShape(NamedTuple):
    """The sizes that decide a perceptron's weights."""

    features: int  # S * F: all numbers of an input
    outputs: int
    widths: tuple[int, ...] = (40, 40)  # Finn et al. 2017, section 5.1
    dropout: float = 0.0

    @property
    def feature_size(self) -> int:
        return self.widths[-1]

    @property
    def one_length(self) -> bool:
        return True

    def build(self, generator: torch.Generator) -> MLPModel:
        return MLPModel(self, generator)


class MLPModel(Model):
    """Linear layers with ReLU between them, and a linear head; an input is read whole, its steps side by side.

    Weights of layer l: `weight_l<l>` [width, width before], `bias_l<l>` [width].

    Args:
        shape: the sizes.
        generator: draws the start: He et al. 2015, biases zero.
    """

    def __init__(self, shape: MLPShape, generator: torch.Generator) -> None:
        super().__init__()
        self.shape: MLPShape = shape
        before = shape.features
        for layer, width in enumerate(shape.widths):
            weight = torch.empty(width, before)
            nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
            self.register_parameter(f"weight_l{layer}", nn.Parameter(weight))
            self.register_parameter(f"bias_l{layer}", nn.Parameter(torch.zeros(width)))
            before = width
        self.add_head(shape)

    def prepare(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[T, B, S, F] to [T, B, S * F].

        Raises:
            ValueError: sequences that end early.
        """
        if lengths is not None:
            raise ValueError("a perceptron takes sequences of one length")
        return inputs.flatten(2)

    def read_whole(self, prepared: Tensor, weights: Weights, generator: torch.Generator | None = None) -> Tensor:
        values = prepared
        for layer in range(len(self.shape.widths)):
            weight, bias = weights[f"weight_l{layer}"], weights[f"bias_l{layer}"]
            values = torch.baddbmm(bias.unsqueeze(1), values, weight.transpose(1, 2)).relu()
        return self.drop(values, generator)

    def size_of(self, prepared: Tensor) -> Size:
        return Size(prepared.shape[1], 1, prepared.shape[2])

    def part(self, prepared: Tensor, which: slice) -> Tensor:
        return prepared[:, which]

    def bytes_of_pass(self, size: Size, keeps: Keeps) -> int:
        """Two numbers for each unit, before and after the ReLU, and as many for each derivative."""
        return FLOAT * {"nothing": 2, "once": 4, "twice": 8}[keeps] * size.examples * sum(self.shape.widths)

    @property
    def layouts(self) -> int:
        return 0


@register("model", "mlp")
@dataclass(kw_only=True)
class MLPSettings(ModelSettings):
    """The settings of the perceptron."""

    width: int = bounded(minimum=1)
    layers: int = bounded(minimum=1, maximum=100)
    dropout: float = bounded(minimum=0, below=1)

    def shape(self, inputs: Inputs, outputs: int) -> MLPShape:
        if inputs.steps is None:
            raise ConfigError.of(
                f"model=mlp, but inputs of dataset '{inputs.dataset}' have no fixed length", "use model=lstm"
            )
        if inputs.vocabulary:
            raise ConfigError.of(f"model=mlp, but inputs of dataset '{inputs.dataset}' are tokens", "use model=lstm")
        return MLPShape(inputs.steps * inputs.features, outputs, (self.width,) * self.layers, self.dropout)
