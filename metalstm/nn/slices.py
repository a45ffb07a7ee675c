"""A pass through a model, a slice of the examples at a time, where a pass of all would take more than the budget.

What an example becomes does not depend on its neighbours, so the features are the same bit for bit. Where a gradient is
wanted, every slice is read a second time when it is taken, and the gradients are added up: a third more time.

Legend: T tasks, B examples, W features read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from metalstm.nn.second_pass import keep_conditions, kept_conditions

Weights = Mapping[str, Tensor]  # by name, each [T, ...]: every task its own
# Slices of prepared inputs, weights and a generator to features [T, their examples, W].
Read = Callable[[Any, Weights, "torch.Generator | None"], Tensor]


def read_in_slices(read: Read, slices: list[Any], weights: Weights, generator: torch.Generator | None = None) -> Tensor:
    """Return the features of all slices, [T, B, W]; differentiable once with respect to the weights."""
    if torch.is_grad_enabled() and any(weight.requires_grad for weight in weights.values()):
        features: Tensor = ReadAgain.apply(read, slices, list(weights), generator, *weights.values())
        return features
    return torch.cat([read(part, weights, generator) for part in slices], dim=1)


class ReadAgain(torch.autograd.Function):
    """Reads slices, and again for their gradients; what is kept in between are the weights."""

    @staticmethod
    def forward(
        ctx: Any, read: Read, slices: list[Any], names: list[str], generator: torch.Generator | None, *tensors: Tensor
    ) -> Tensor:
        ctx.read, ctx.slices, ctx.names = read, slices, names
        keep_conditions(ctx, generator, tensors)
        weights = dict(zip(names, tensors, strict=True))
        return torch.cat([read(part, weights, generator) for part in slices], dim=1)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, d_features: Tensor) -> Any:
        wanted = ctx.needs_input_grad[4:]
        tensors, generator = kept_conditions(ctx, wanted)
        asked = [weight for weight in tensors if weight.requires_grad]
        total = [torch.zeros_like(weight) for weight in asked]
        first = 0
        for part in ctx.slices:
            with torch.enable_grad(), torch.autocast(*ctx.rounding):
                features = ctx.read(part, dict(zip(ctx.names, tensors, strict=True)), generator)
            after = first + features.shape[1]
            gradients = torch.autograd.grad(features, asked, d_features[:, first:after], allow_unused=True)
            for sum_, gradient in zip(total, gradients, strict=True):
                if gradient is not None:
                    sum_ += gradient
            first = after
        found = iter(total)
        return None, None, None, None, *(next(found) if wants else None for wants in wanted)
