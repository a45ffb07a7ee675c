"""Tensors beside their references."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def randomise(module: nn.Module, scale: float, generator: torch.Generator) -> None:
    """Draw all weights anew, so that none is zero or equal to another of its tensor."""
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(scale * torch.randn(weight.shape, generator=generator))
            assert weight.unique().numel() == weight.numel()


def difference(got: Iterable[Tensor], want: Iterable[Tensor]) -> float:
    """How far tensors are from their references, as a fraction of the reference's norm; the worst of them.

    A reference that vanishes proves nothing, so it is refused.
    """
    pairs = [(mine.detach().double(), other.detach().double()) for mine, other in zip(got, want, strict=True)]
    assert pairs
    assert all(other.norm() > 1e-5 for _, other in pairs)
    return max(float((mine - other).norm() / other.norm()) for mine, other in pairs)
