"""A computation that is done a second time when it is differentiated: under the conditions of the first time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def keep_conditions(ctx: Any, generator: torch.Generator | None, tensors: Sequence[Tensor]) -> None:
    """Keep tensors, the generator's state and the rounding of autocast for the second time."""
    ctx.generator_state = None if generator is None else generator.get_state()
    kind = tensors[0].device.type
    ctx.rounding = (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind), False)
    ctx.save_for_backward(*tensors)


def kept_conditions(ctx: Any, wanted: Sequence[bool]) -> tuple[list[Tensor], torch.Generator | None]:
    """Return the tensors, cut off and differentiable where `wanted`, and a generator in the state of the first time."""
    generator = None
    if ctx.generator_state is not None:
        generator = torch.Generator()
        generator.set_state(ctx.generator_state)
    return [
        tensor.detach().requires_grad_(wants) for tensor, wants in zip(ctx.saved_tensors, wanted, strict=True)
    ], generator
