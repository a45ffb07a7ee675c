"""An LSTM whose weights all tasks share, with its states in the caller's hands.

Legend: S time steps, B sequences, F features, H hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metalstm.nn.kernel.layer import lstm_layer
from metalstm.nn.lstm import lstm_start

State = tuple[Tensor, Tensor]  # h and c, [B, H] each


class SharedLSTM(nn.Module):
    """A stack of LSTM layers. Weights of layer l: `w_x_l<l>` [4H, F or H], `w_h_l<l>` [4H, H], `bias_l<l>` [4H].

    Args:
        features: F.
        hidden: H.
        layers: how many.
        generator: draws the start, see `lstm_start`.
    """

    def __init__(self, features: int, hidden: int, layers: int, generator: torch.Generator) -> None:
        super().__init__()
        self.hidden = hidden
        self.layers = layers
        for layer in range(layers):
            start = lstm_start(hidden if layer else features, hidden, 1, generator)
            for name, weight in zip(("w_x", "w_h", "bias"), start, strict=True):
                self.register_parameter(f"{name}_l{layer}", nn.Parameter(weight.squeeze(0)))

    def forward(self, inputs: Tensor, states: list[State] | None = None) -> tuple[Tensor, list[State]]:
        """Read sequences [S, B, F], S >= 1, from the states of all layers; None: zero.

        Returns:
            The last layer's hidden states, [S, B, H], and the states of all layers after the last step.
        """
        values = inputs.unsqueeze(0)  # one group
        after = []
        for layer in range(self.layers):
            w_x, w_h, bias = (self.get_parameter(f"{name}_l{layer}").unsqueeze(0) for name in ("w_x", "w_h", "bias"))
            h, c = (None, None) if states is None else (state.unsqueeze(0) for state in states[layer])
            values, c_last = lstm_layer(values, w_x, w_h, bias, h, c)
            after.append((values[0, -1], c_last[0]))
        return values.squeeze(0), after

    def zeros(self, count: int, like: Tensor) -> list[State]:
        """Return the state before anything was read, of as many sequences."""
        return [(like.new_zeros(count, self.hidden), like.new_zeros(count, self.hidden)) for _ in range(self.layers)]
