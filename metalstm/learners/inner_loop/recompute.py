"""Inner steps that are computed a second time when they are differentiated, instead of being remembered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from metalstm.nn.base import Weights
from metalstm.nn.second_pass import keep_conditions, kept_conditions

# Weights, their rates, an order and a generator to the weights after an inner step.
Update = Callable[..., dict[str, Tensor]]


def recomputed(
    update: Update, weights: Weights, rates: Weights, generator: torch.Generator | None
) -> dict[str, Tensor]:
    """`update(weights, rates, "second", generator)`, of which only weights and rates are kept for the outer gradient.

    This is gradient checkpointing (Chen et al. 2016, "Training deep nets with sublinear memory cost"),
    one segment an inner step. Random numbers are drawn again from the generator's state of the first time.
    """
    names = list(weights)
    new = Recomputed.apply(update, names, generator, *weights.values(), *(rates[name] for name in names))
    return dict(zip(names, new, strict=True))


class Recomputed(torch.autograd.Function):
    """An inner step; differentiable once."""

    @staticmethod
    def forward(
        ctx: Any, update: Update, names: list[str], generator: torch.Generator | None, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.update, ctx.names = update, names
        keep_conditions(ctx, generator, tensors)
        weights, rates = by_name(names, [tensor.detach().requires_grad_() for tensor in tensors])
        return tuple(update(weights, rates, "none", generator).values())

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *d_new: Tensor) -> Any:
        wanted = ctx.needs_input_grad[3:]
        tensors, generator = kept_conditions(ctx, wanted)
        with torch.enable_grad(), torch.autocast(*ctx.rounding):
            weights, rates = by_name(ctx.names, tensors)
            new = ctx.update(weights, rates, "second", generator)
        inputs = [tensor for tensor, wants in zip(tensors, wanted, strict=True) if wants]
        found = iter(torch.autograd.grad(list(new.values()), inputs, d_new))
        return None, None, None, *(next(found) if wants else None for wants in wanted)


def by_name(names: list[str], tensors: list[Tensor]) -> tuple[Weights, Weights]:
    """Weights and rates of these names."""
    return dict(zip(names, tensors[: len(names)], strict=True)), dict(zip(names, tensors[len(names) :], strict=True))
