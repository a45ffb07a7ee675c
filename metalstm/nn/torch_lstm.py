"""The same model made of torch's own layers, one task at a time: export, and the reference.

Legend: B examples, S time steps, F features, H hidden, D directions, O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from metalstm.nn.lstm import ModelShape
from metalstm.nn.sequences import columns_of, stacked, stacks_of

LSTM_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class PlainModel(nn.Module):
    """`LSTMModel` for a single task: an `nn.LSTM` for each axis that is read (`lstms`), and an `nn.Linear` (`head`).

    With 4 directions the first reads the rows and the second the columns, each both ways. Where inputs are tokens, an
    `nn.Embedding` (`embedding`) stands before them. With `skip` the head reads their mean as well, which has a
    layer norm of its own (`norm_inputs`).
    """

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        axes = 2 if shape.directions == 4 else 1
        self.lstms = nn.ModuleList(
            nn.LSTM(
                shape.step_features, shape.hidden_size, shape.layers, batch_first=True, bidirectional=shape.both_ways
            )
            for _ in range(axes)
        )
        self.embedding = nn.Embedding(shape.vocabulary, shape.features) if shape.vocabulary else None
        states = shape.feature_size - shape.skipped
        self.norm = nn.LayerNorm(states) if shape.layer_norm else nn.Identity()
        self.norm_inputs = nn.LayerNorm(shape.skipped) if shape.skip and shape.layer_norm else nn.Identity()
        self.head = nn.Linear(shape.feature_size, shape.outputs)

    @classmethod
    def of(cls, shape: ModelShape, weights: Mapping[str, Tensor]) -> PlainModel:
        """Copy one task's weights of an `LSTMModel`."""
        plain = cls(shape).to(weights["head_weight"].dtype)
        plain.load_state_dict(to_plain(shape, weights))
        return plain

    def forward(self, inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[B, S, F], or of tokens [B, S, K], with the [B] real lengths (at least 1) if they differ, to [B, O]."""
        readings = [inputs] if len(self.lstms) == 1 else [inputs, columns_of(inputs)]
        if self.shape.stack > 1:
            readings = [stacked(reading, self.shape.stack, lengths) for reading in readings]
            lengths = None if lengths is None else stacks_of(lengths, self.shape.stack)
        inputs = readings[0]
        if self.embedding is not None:
            real = (inputs > 0).to(self.embedding.weight)
            mean = real / real.sum(dim=-1, keepdim=True).clamp(min=1)
            inputs = math.sqrt(self.shape.features) * torch.einsum("bsk,bskf->bsf", mean, self.embedding(inputs))
            readings = [inputs]
        features = []
        for lstm, sequences in zip(self.lstms, readings, strict=True):
            states, last = self.run(lstm, sequences, lengths)
            if self.shape.pooling == "mean":
                features.append(mean_over_steps(states, lengths))
            else:
                ways = 2 if self.shape.both_ways else 1
                features.append(last[-ways:].transpose(0, 1).flatten(1))  # of the last layer
        joined = self.norm(torch.cat(features, dim=-1))
        if self.shape.skip:
            joined = torch.cat((joined, self.norm_inputs(mean_over_steps(inputs, lengths))), dim=-1)
        outputs: Tensor = self.head(joined)
        return outputs

    @staticmethod
    def run(lstm: nn.Module, sequences: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return all states, zero beyond the lengths, and the last ones: [B, S, ways * H] and [..., B, H]."""
        if lengths is None:
            states, (last, _) = lstm(sequences)
            return states, last
        packed = pack_padded_sequence(sequences, lengths.cpu(), batch_first=True, enforce_sorted=False)
        packed_states, (last, _) = lstm(packed)
        states, _ = pad_packed_sequence(packed_states, batch_first=True, total_length=sequences.shape[1])
        return states, last


def mean_over_steps(sequences: Tensor, lengths: Tensor | None) -> Tensor:
    """[B, S, F] and [B] real lengths to [B, F]."""
    if lengths is None:
        return sequences.mean(dim=1)
    steps = torch.arange(sequences.shape[1], device=sequences.device).unsqueeze(-1)
    return sequences.masked_fill(steps >= lengths.view(-1, 1, 1), 0).sum(dim=1) / lengths.unsqueeze(1)


def to_plain(shape: ModelShape, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """One task's weights of an `LSTMModel`, under the names and in the shapes of a `PlainModel`; differentiable views.

    The entries that begin with `lstms.0.` are a state dict of `torch.nn.LSTM`, those with `head.` one of `nn.Linear`.
    """
    plain = {}
    for direction in range(shape.directions):
        axis, suffix = direction // 2, "_reverse" if direction % 2 else ""
        for layer in range(shape.layers):
            for kind in LSTM_WEIGHTS:
                plain[f"lstms.{axis}.{kind}_l{layer}{suffix}"] = weights[f"{kind}_l{layer}"][direction]
    if shape.vocabulary:
        plain["embedding.weight"] = weights["embedding"]
    if shape.layer_norm:
        states = shape.feature_size - shape.skipped
        for kind in ("weight", "bias"):
            plain[f"norm.{kind}"] = weights[f"norm_{kind}"][:states]
            if shape.skip:
                plain[f"norm_inputs.{kind}"] = weights[f"norm_{kind}"][states:]
    return plain | {"head.weight": weights["head_weight"], "head.bias": weights["head_bias"]}
