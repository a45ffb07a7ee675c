"""References of the LSTM layer, and models whose weights cannot be mistaken for one another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metalstm.nn.lstm import LSTMModel, ModelShape
from support.tensors import randomise


def by_cell(
    inputs: Tensor, w_x: Tensor, w_h: Tensor, bias: Tensor, h: Tensor | None = None, c: Tensor | None = None,
    lengths: Tensor | None = None, last: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """A reference of `lstm_layer`: the equations of the LSTM, step by step, left to autograd."""
    zero = inputs.new_zeros(inputs.shape[0], inputs.shape[2], w_h.shape[-1])
    h, c = zero if h is None else h, zero if c is None else c
    shown = []
    for s, x in enumerate(inputs.unbind(1)):
        z = torch.einsum("gbf,gkf->gbk", x, w_x) + torch.einsum("gbh,gkh->gbk", h, w_h) + bias.unsqueeze(1)
        i, f, g, o = z.split(w_h.shape[-1], dim=-1)
        real = torch.ones(h.shape[:2], dtype=torch.bool) if lengths is None else lengths > s
        new_c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        c = torch.where(real.unsqueeze(-1), new_c, c)
        new_h = o.sigmoid() * new_c.tanh()
        h = torch.where(real.unsqueeze(-1), new_h, h)
        shown.append(torch.where(real.unsqueeze(-1), new_h, 0))
    return h if last else torch.stack(shown, dim=1), c


def by_torch(
    inputs: Tensor, w_x: Tensor, w_h: Tensor, bias: Tensor, h: Tensor | None, c: Tensor | None,
    lengths: Tensor | None, last: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """A reference of `lstm_layer`: a `torch.nn.LSTM` for each group, of packed sequences where they end early."""
    module = nn.LSTM(inputs.shape[-1], w_h.shape[-1]).to(inputs.dtype)
    results = []
    for group, sequences in enumerate(inputs):
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        weights = dict(zip(names, (w_x[group], w_h[group], bias[group], torch.zeros_like(bias[group])), strict=True))
        if lengths is not None:
            sequences = nn.utils.rnn.pack_padded_sequence(sequences, lengths[group], enforce_sorted=False)
        first = None if h is None or c is None else (h[group : group + 1], c[group : group + 1])
        states, (h_last, c_last) = torch.func.functional_call(module, weights, (sequences, first))
        if lengths is not None:
            states, _ = nn.utils.rnn.pad_packed_sequence(states, total_length=inputs.shape[1])
        results.append((h_last[0] if last else states, c_last[0]))
    states, c_last = zip(*results, strict=True)
    return torch.stack(states), torch.stack(c_last)


def make_model(shape: ModelShape, dtype: torch.dtype = torch.float64, seed: int = 0) -> LSTMModel:
    """A model in which no weight is zero or equal to another, so that none can be mistaken."""
    generator = torch.Generator().manual_seed(seed)
    model = LSTMModel(shape, generator)
    randomise(model, 0.4, generator)
    return model.to(dtype)
