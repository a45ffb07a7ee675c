"""What the tests of the layers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest
import torch
from torch import Tensor

from metalstm.nn.model import LSTMModel, ModelShape
from metalstm.nn.pointwise import fused_cells

Difference = Callable[[Iterable[Tensor], Iterable[Tensor]], float]


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
def choose_cells(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A function that sets (or, with None, unsets) environment variables and makes the cells be chosen anew."""

    def choose(**environment: str | None) -> None:
        for name, value in environment.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        fused_cells.cache_clear()

    yield choose
    fused_cells.cache_clear()
