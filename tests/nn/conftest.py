"""What the tests of the layers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest
import torch
from torch import Tensor, nn

from metalstm.nn.kernel.compiled import fused_sweeps
from metalstm.nn.lstm import LSTMModel, ModelShape

Difference = Callable[[Iterable[Tensor], Iterable[Tensor]], float]
Layer = Callable[..., tuple[Tensor, Tensor]]


@pytest.fixture(scope="session")
def difference() -> Difference:
    """A function: how far tensors are from their references, as a fraction of the reference's norm; the worst of them.

    A reference that vanishes proves nothing, so it is refused.
    """

    def worst(got: Iterable[Tensor], want: Iterable[Tensor]) -> float:
        pairs = [(mine.detach().double(), other.detach().double()) for mine, other in zip(got, want, strict=True)]
        assert pairs
        assert all(other.norm() > 1e-4 for _, other in pairs)
        return max(float((mine - other).norm() / other.norm()) for mine, other in pairs)

    return worst


@pytest.fixture(scope="session")
def by_cell() -> Layer:
    """A reference of `lstm_layer`: the equations of the LSTM, step by step, left to autograd."""

    def layer(
        inputs: Tensor, w_x: Tensor, w_h: Tensor, bias: Tensor, h: Tensor | None = None, c: Tensor | None = None,
        lengths: Tensor | None = None, last: bool = False,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
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

    return layer


@pytest.fixture(scope="session")
def by_torch() -> Layer:
    """A reference of `lstm_layer`: a `torch.nn.LSTM` for each group, of packed sequences where they end early."""

    def layer(
        inputs: Tensor, w_x: Tensor, w_h: Tensor, bias: Tensor, h: Tensor | None, c: Tensor | None,
        lengths: Tensor | None, last: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        module = nn.LSTM(inputs.shape[-1], w_h.shape[-1]).to(inputs.dtype)
        results = []
        for group, sequences in enumerate(inputs):
            names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
            weights = dict(
                zip(names, (w_x[group], w_h[group], bias[group], torch.zeros_like(bias[group])), strict=True)
            )
            if lengths is not None:
                sequences = nn.utils.rnn.pack_padded_sequence(sequences, lengths[group], enforce_sorted=False)
            first = None if h is None or c is None else (h[group : group + 1], c[group : group + 1])
            states, (h_last, c_last) = torch.func.functional_call(module, weights, (sequences, first))
            if lengths is not None:
                states, _ = nn.utils.rnn.pad_packed_sequence(states, total_length=inputs.shape[1])
            results.append((h_last[0] if last else states, c_last[0]))
        states, c_last = zip(*results, strict=True)
        return torch.stack(states), torch.stack(c_last)

    return layer


@pytest.fixture(scope="session")
def make_model() -> Callable[..., LSTMModel]:
    """A function that makes a model in which no weight is zero or equal to another, so that none can be mistaken."""

    def make(shape: ModelShape, dtype: torch.dtype = torch.float64, seed: int = 0) -> LSTMModel:
        generator = torch.Generator().manual_seed(seed)
        model = LSTMModel(shape, generator)
        with torch.no_grad():
            for weight in model.parameters():
                weight.copy_(0.4 * torch.randn(weight.shape, generator=generator))
        return model.to(dtype)

    return make


@pytest.fixture
def choose_sweeps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A function that sets (or, with None, unsets) environment variables and makes the sweeps be chosen anew."""

    def choose(**environment: str | None) -> None:
        for name, value in environment.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        fused_sweeps.cache_clear()

    yield choose
    fused_sweeps.cache_clear()
