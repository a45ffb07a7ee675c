"""A gradient step of all weights at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metalstm.nn.base import Weights


def descend(weights: Weights, rates: Weights, gradients: Sequence[Tensor]) -> dict[str, Tensor]:
    """Inner update, Finn et al. 2017, Algorithm 2, line 6: every weight less its rate times its gradient.

    Args:
        weights: by name, [T, ...] each.
        rates: by the same names; of the weights' shapes without the tasks axis, or single numbers.
        gradients: like the weights, in their order.
    """
    new = Descent.apply(len(weights), *weights.values(), *(rates[name] for name in weights), *gradients)
    return dict(zip(weights, new, strict=True))


class Descent(torch.autograd.Function):
    """One node of the graph for all weights: there are many of them, and small ones; differentiable once."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        weights, rates, gradients = tensors[:count], tensors[count : 2 * count], tensors[2 * count :]
        ctx.count = count
        ctx.save_for_backward(*rates, *gradients)
        return tuple(
            torch.addcmul(weight, rate, gradient, value=-1)
            for weight, rate, gradient in zip(weights, rates, gradients, strict=True)
        )

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *d_new: Tensor) -> Any:
        count = ctx.count
        rates, gradients = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        wanted = ctx.needs_input_grad[1:]
        d_rates = (
            torch.mul(gradient, d).sum_to_size(rate.shape).neg_() if wants else None
            for rate, gradient, d, wants in zip(rates, gradients, d_new, wanted[count:], strict=False)
        )
        d_gradients = (
            -rate * d if wants else None for rate, d, wants in zip(rates, d_new, wanted[2 * count :], strict=True)
        )
        return None, *d_new, *d_rates, *d_gradients
