"""Drawings as another hand might have made them: turned, sheared, of another size, and moved, by a little.

Legend: T tasks, B examples, N = T * B.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from metalstm.tasks.examples import Examples


class Bend(NamedTuple):
    """How far a drawing may be changed, each by a number drawn uniformly."""

    turn: float = 10.0  # degrees, either way
    size: float = 0.1  # the logarithm of how many times as wide or narrow, and likewise of the height
    shear: float = 0.1  # the tangent of how far upright strokes lean
    shift: float = 1.5  # pixels of 28, to each side

    def times(self, strength: float) -> Bend:
        return Bend(*(strength * most for most in self))


BEND = Bend()


def bent(examples: Examples, generator: torch.Generator, by: Bend = BEND) -> Examples:
    """Every drawing changed by itself: [T, B, 28, 28] to the same; what comes in at the edges is paper, 0."""
    images = examples.inputs.flatten(0, 1)  # [N, 28, 28]
    read_from = transforms(len(images), images.shape[-1], generator, by)
    places = functional.affine_grid(read_from, [len(images), 1, *images.shape[1:]], align_corners=False)
    changed = functional.grid_sample(images.unsqueeze(1), places, align_corners=False)
    return examples._replace(inputs=changed.view(examples.inputs.shape))


def transforms(count: int, side: int, generator: torch.Generator, by: Bend) -> Tensor:
    """Where each of `count` new drawings is read from, [count, 2, 3]: a linear map about the middle, and a shift.

    Half a side is 1 (`torch.nn.functional.affine_grid`).
    """

    def drawn(most: float) -> Tensor:
        return most * (2 * torch.rand(count, generator=generator) - 1)

    angle, lean = drawn(math.radians(by.turn)), drawn(by.shear)
    width, height = drawn(by.size).exp(), drawn(by.size).exp()
    cos, sin = angle.cos(), angle.sin()
    x = torch.stack((cos * width, (lean * cos - sin) * height, drawn(2 * by.shift / side)), dim=-1)
    y = torch.stack((sin * width, (lean * sin + cos) * height, drawn(2 * by.shift / side)), dim=-1)
    return torch.stack((x, y), dim=1)
