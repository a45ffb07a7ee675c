"""The LSTM that is meta-trained: task-batched layers that read a sequence and answer with a vector.

Legend: T tasks, B examples, S time steps, F features, H hidden, D directions, O outputs, V tokens that there are, K
tokens of a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from metalstm.config.fields import bounded, one_of
from metalstm.errors import Problem
from metalstm.nn.base import FLOAT, Inputs, Keeps, Model, ModelSettings, Size, Weights
from metalstm.nn.kernel.layer import lstm_layer
from metalstm.nn.kernel.tape import NUMBERS_IN_A_PIECE
from metalstm.nn.sequences import backwards, columns_of, embedded, mean_over_time, stacked, stacks_of
from metalstm.registry import register


class Prepared(NamedTuple):
    """Inputs laid out for reading: a group is a task and a direction."""

    sequences: Tensor  # [T * D, S, B, F], or of tokens [T * D, S, B, K] int64
    lengths: Tensor | None  # [T * D, B] int64; None: S everywhere


Directions = Literal[1, 2, 4]


class ModelShape(NamedTuple):
    """The sizes and choices that decide an LSTM model's weights."""

    features: int  # F; where steps are tokens, the size of their embedding
    outputs: int  # O: ways, or the numbers to predict
    hidden_size: int = 64  # H
    layers: int = 1
    directions: Directions = 1  # rows down; both ways; rows and columns, both ways
    pooling: Literal["last", "mean"] = "last"
    layer_norm: bool = True
    dropout: float = 0.0
    vocabulary: int = 0  # V, tokens that an input may hold, 0 being none; 0: inputs are numbers
    skip: bool = False  # whether the head reads the mean of the inputs too, past the LSTM
    rarity: Tensor | None = None  # [V], how long each token's embedding is at the start; None: all are about 1
    stack: int = 1  # how many steps of the inputs are read as one

    @property
    def step_features(self) -> int:
        """Numbers that the LSTM reads at a step."""
        return self.features * (1 if self.vocabulary else self.stack)

    @property
    def one_length(self) -> bool:
        return self.directions == 4  # columns have no end

    @property
    def both_ways(self) -> bool:
        return self.directions > 1

    @property
    def feature_size(self) -> int:
        """Size of the features that the head reads: D hidden states side by side, and the inputs with `skip`."""
        return self.directions * self.hidden_size + self.skipped

    @property
    def skipped(self) -> int:
        """How many of the features are inputs."""
        return self.step_features if self.skip else 0

    def build(self, generator: torch.Generator) -> LSTMModel:
        return LSTMModel(self, generator)


class LSTMModel(Model):
    """A stack of LSTM layers, the states of its last layer pooled over time and joined, and a linear head.

    With `stack` n an LSTM reads n steps as one, such as two rows of an image, in half the time (Sak et al. 2015, "Fast
    and accurate recurrent neural network acoustic models for speech recognition"); tokens of n steps are those of one.

    A sequence is read in `directions` ways, each by an LSTM of its own; the forward and the backward reading of an axis
    are joined between layers, as in a bidirectional `torch.nn.LSTM`. Dropout stands where `torch.nn.LSTM` has it,
    between layers, and before the head; layer norm, if any, normalises what the head reads.

    With `skip` the head also reads the mean over time of what the LSTM reads, normalised by itself: what an example
    says by its steps alone, whatever their order, need not go through the LSTM (after Lai et al. 2015, who join the
    embedding of a word to its context).

    Where inputs are tokens, a step holds K of them, padded with 0, and the LSTM reads the mean of their embeddings
    times the root of F: `embedding` [V, F]. These start small, of length about 1 or as `rarity` has it, so that Adam's
    steps, which are all of one size, soon tell tokens apart, and are read as large as other inputs are (Vaswani et al.
    2017, section 3.4).

    Weights of layer l (gates in the order i, f, g, o): `weight_ih_l<l>` [D, 4H, F or joined], `weight_hh_l<l>`
    [D, 4H, H], `bias_ih_l<l>` and `bias_hh_l<l>` [D, 4H]. Two biases, so that weights and meta-gradients are those of
    `torch.nn.LSTM`; their sum is the b of the equations.

    Args:
        shape: the sizes.
        generator: draws the start: orthogonal recurrent weights, forget bias 1 (Jozefowicz et al. 2015); the head
            starts at zero, so that it prefers no class before it has seen one.
    """

    def __init__(self, shape: ModelShape, generator: torch.Generator) -> None:
        super().__init__()
        self.shape: ModelShape = shape
        hidden, directions = shape.hidden_size, shape.directions
        for layer in range(shape.layers):
            width = shape.step_features if layer == 0 else hidden * (2 if shape.both_ways else 1)
            weight_ih, weight_hh, bias_ih = lstm_start(width, hidden, directions, generator)
            self.register_parameter(f"weight_ih_l{layer}", nn.Parameter(weight_ih))
            self.register_parameter(f"weight_hh_l{layer}", nn.Parameter(weight_hh))
            self.register_parameter(f"bias_ih_l{layer}", nn.Parameter(bias_ih))
            self.register_parameter(f"bias_hh_l{layer}", nn.Parameter(torch.zeros(directions, 4 * hidden)))
        if shape.vocabulary:
            start = torch.randn(shape.vocabulary, shape.features, generator=generator) / math.sqrt(shape.features)
            self.embedding = nn.Parameter(start if shape.rarity is None else start * shape.rarity.unsqueeze(1))
        if shape.layer_norm:
            self.norm_weight = nn.Parameter(torch.ones(shape.feature_size))
            self.norm_bias = nn.Parameter(torch.zeros(shape.feature_size))
        self.add_head(shape)

    def prepare(self, inputs: Tensor, lengths: Tensor | None = None) -> Prepared:
        """Lays inputs out for reading, once for however many passes.

        Args:
            inputs: [T, B, S, F], or of tokens [T, B, S, K] int64.
            lengths: [T, B] int64, 1 <= length <= S: how many steps of a sequence are real; None: all.

        Raises:
            ValueError: columns are to be read, of sequences that end early or are no square images.
        """
        axes = [inputs]
        if self.shape.directions == 4:
            if lengths is not None:
                raise ValueError("4 directions read columns too, which takes sequences of one length")
            axes.append(columns_of(inputs))
        if self.shape.stack > 1:
            axes = [stacked(axis, self.shape.stack, lengths) for axis in axes]
            lengths = None if lengths is None else stacks_of(lengths, self.shape.stack)
        readings = [axis.transpose(1, 2) for axis in axes]  # [T, S, B, F]
        if self.shape.both_ways:
            readings = [reading for forwards in readings for reading in (forwards, backwards(forwards, lengths))]
        if lengths is not None:
            lengths = lengths.unsqueeze(1).expand(-1, self.shape.directions, -1).flatten(0, 1)
        return Prepared(torch.stack(readings, dim=1).flatten(0, 1), lengths)

    def read_whole(self, prepared: Prepared, weights: Weights, generator: torch.Generator | None = None) -> Tensor:
        states, lengths = prepared
        if self.shape.vocabulary:
            states = embedded(states, weights["embedding"])
        forwards = states[:: self.shape.directions]  # [T, S, B, F]
        for layer in range(self.shape.layers):
            if layer > 0:
                states = self.drop(self.join_both_ways(states, lengths), generator)
            bias = weights[f"bias_ih_l{layer}"] + weights[f"bias_hh_l{layer}"]
            states, _ = lstm_layer(
                states,
                weights[f"weight_ih_l{layer}"].flatten(0, 1),
                weights[f"weight_hh_l{layer}"].flatten(0, 1),
                bias.flatten(0, 1),
                lengths=lengths,
                last=layer == self.shape.layers - 1 and self.shape.pooling == "last",
            )
        pooled = states if self.shape.pooling == "last" else mean_over_time(states, lengths)  # [T * D, B, H]
        parts = [pooled.unflatten(0, (-1, self.shape.directions)).transpose(1, 2).flatten(2)]
        if self.shape.skip:
            parts.append(mean_over_time(forwards, None if lengths is None else lengths[:: self.shape.directions]))
        if not self.shape.layer_norm:
            return self.drop(torch.cat(parts, dim=-1), generator)
        normal = torch.cat([nn.functional.layer_norm(part, part.shape[-1:]) for part in parts], dim=-1)
        features = normal * weights["norm_weight"].unsqueeze(1) + weights["norm_bias"].unsqueeze(1)
        return self.drop(features, generator)

    def size_of(self, prepared: Prepared) -> Size:
        _, steps, examples, width = prepared.sequences.shape
        return Size(examples, steps * self.shape.stack, width // (1 if self.shape.vocabulary else self.shape.stack))

    def part(self, prepared: Prepared, which: slice) -> Prepared:
        lengths = None if prepared.lengths is None else prepared.lengths[:, which]
        return Prepared(prepared.sequences[:, :, which], lengths)

    def bytes_of_pass(self, size: Size, keeps: Keeps) -> int:
        """Count four gates, h and c of each layer, direction and step, on the tape and in each derivative."""
        shape, hidden = self.shape, self.shape.hidden_size
        tape, above = 6 * hidden, 2 * hidden if shape.both_ways else hidden  # what a layer above the first reads
        tokens = 3 * size.width * shape.features if shape.vocabulary else 0
        joining = 2 * above if shape.layers > 1 else 0
        read = tokens // 3 + shape.step_features + (shape.layers - 1) * above
        floats = {
            "nothing": tape + tokens + shape.step_features + (joining + 2 * hidden if shape.layers > 1 else 0),
            "once": shape.layers * tape + read + tokens + joining,
            "twice": 3 * (shape.layers * tape + read) + tokens + joining,
        }[keeps]
        sequence_steps = size.examples * math.ceil(size.steps / shape.stack)
        piece = 0 if keeps == "nothing" else min(4 * hidden * sequence_steps, 2 * NUMBERS_IN_A_PIECE)
        return FLOAT * shape.directions * (sequence_steps * floats + piece)

    @property
    def layouts(self) -> int:
        return self.shape.directions

    def join_both_ways(self, states: Tensor, lengths: Tensor | None) -> Tensor:
        """Return the next layer's inputs.

        At each step, what the forward and the backward reading of an axis know of it.

        [T * D, S, B, H] to [T * D, S, B, 2H], each direction in its own reading order; unchanged for one direction.
        """
        if not self.shape.both_ways:
            return states
        if lengths is not None:
            lengths = lengths[::2]
        ahead, back = states.unflatten(0, (-1, 2)).unbind(1)
        in_order = torch.cat((ahead, backwards(back, lengths)), dim=-1)
        return torch.stack((in_order, backwards(in_order, lengths)), dim=1).flatten(0, 1)


def lstm_start(
    features: int, hidden: int, directions: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Start weights of a layer, gate by gate: [D, 4H, F] Xavier, [D, 4H, H] orthogonal; biases [D, 4H], forget 1."""
    weight_ih = torch.empty(directions, 4 * hidden, features)
    weight_hh = torch.empty(directions, 4 * hidden, hidden)
    for direction in range(directions):
        for gate in range(4):
            block = slice(gate * hidden, (gate + 1) * hidden)
            nn.init.xavier_uniform_(weight_ih[direction, block], generator=generator)
            nn.init.orthogonal_(weight_hh[direction, block], generator=generator)
    bias = torch.zeros(directions, 4 * hidden)
    bias[:, hidden : 2 * hidden] = 1
    return weight_ih, weight_hh, bias


@register("model", "lstm")
@dataclass(kw_only=True)
class LSTMSettings(ModelSettings):
    """The settings of the LSTM."""

    takes_higher: ClassVar[bool] = True

    hidden_size: int = bounded(minimum=1)
    embedding_size: int = bounded(minimum=1)
    layers: int = bounded(minimum=1, maximum=100)
    directions: int | None = one_of(1, 2, 4, None)
    stack: int = bounded(minimum=1)
    pooling: str = one_of("last", "mean")
    skip: bool
    layer_norm: bool
    dropout: float = bounded(minimum=0, below=1)

    def problems(self, run: Any) -> Iterator[Problem]:
        if run.dataset.kind == "regression" and self.directions not in (None, 1, 2):
            yield Problem(
                f"model.directions={self.directions} reads columns, but dataset '{run.dataset.name}' has no images",
                "use model.directions=1 or 2",
            )

    def unfit(self, inputs: Inputs) -> list[Problem]:
        if self.directions == 4 and not inputs.images:
            what = f"model.directions=4 reads columns, but dataset '{inputs.dataset}' has no images"
            return [Problem(what, "use 1 or 2")]
        return []

    def shape(self, inputs: Inputs, outputs: int) -> ModelShape:
        directions: Any = self.directions or (4 if inputs.images else 1)
        return ModelShape(
            self.embedding_size if inputs.vocabulary else inputs.features,
            outputs,
            self.hidden_size,
            self.layers,
            directions,
            self.pooling,  # type: ignore[arg-type]
            self.layer_norm,
            self.dropout,
            inputs.vocabulary,
            self.skip,
            inputs.rarity,
            self.stack,
        )
