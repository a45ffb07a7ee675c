"""Drawings that are bent as they are drawn: by so much and no more, and not at all where nothing is asked for."""

from __future__ import annotations

import math

import pytest
import torch

from metalstm.datasets.images.drawing_augment import BEND, Bend, bent, transforms
from metalstm.tasks.examples import Examples
from metalstm.tasks.sampler import seeded_generator

NONE = BEND.times(0)


def drawings() -> Examples:
    """Of two tasks three drawings each: a block of ink off the middle, another for each."""
    inputs = torch.zeros(2, 3, 28, 28)
    for task in range(2):
        for number in range(3):
            inputs[task, number, 6 + task : 12 + task, 10 : 16 + number] = 1
    return Examples(inputs, torch.arange(6).view(2, 3))


def test_nothing_is_bent_by_nothing() -> None:
    torch.testing.assert_close(bent(drawings(), seeded_generator(1), NONE).inputs, drawings().inputs, rtol=0, atol=1e-4)


def test_the_generator_decides() -> None:
    one, again, other = (bent(drawings(), seeded_generator(seed)).inputs for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.isclose(one, other).flatten(2).all(dim=2).any()  # not a drawing is the same


@pytest.mark.parametrize("field", Bend._fields)
def test_each_kind_changes_every_drawing(field: str) -> None:
    given = drawings()
    changed = bent(given, seeded_generator(3), NONE._replace(**{field: getattr(BEND, field)}))
    assert changed.targets is given.targets
    assert ((changed.inputs - given.inputs).abs().flatten(2).amax(dim=2) > 0.01).all()
    assert changed.inputs.min() >= 0
    assert changed.inputs.max() <= 1.0001


def test_a_shift_moves_by_pixels() -> None:
    """The middle of the ink, pixel by pixel."""
    dot = torch.zeros(1, 400, 28, 28)
    dot[..., 14, 9] = 1
    moved = bent(Examples(dot, torch.zeros(1, 400)), seeded_generator(0), NONE._replace(shift=3.0)).inputs[0]
    place = torch.arange(28.0)
    down, right = (moved.sum(dim=axis) @ place - start for axis, start in ((2, 14), (1, 9)))
    for way in (down, right):
        assert -3.001 < way.min() < -2.9
        assert 2.9 < way.max() < 3.001
    assert abs(torch.corrcoef(torch.stack((down, right)))[0, 1]) < 0.15  # each by itself


def test_transforms_keep_to_their_bounds() -> None:
    """What a map does to the axes says by how much it turns, resizes and shears."""
    across, down, _ = transforms(2000, 28, seeded_generator(0), Bend(turn=20, size=0.2, shear=0.3, shift=1)).unbind(-1)
    angle = torch.atan2(across[:, 1], across[:, 0])
    assert 0.98 * math.radians(20) < angle.abs().max() <= math.radians(20) + 1e-6
    width = across.norm(dim=1).log()
    # Down, in the turned drawing's own axes: its height, and how far it leans.
    turned = torch.stack(
        (angle.cos() * down[:, 0] + angle.sin() * down[:, 1], -angle.sin() * down[:, 0] + angle.cos() * down[:, 1])
    )
    height, lean = turned[1].log(), turned[0] / turned[1]
    for found, most in ((width, 0.2), (height, 0.2), (lean, 0.3)):
        assert 0.98 * most < found.max() <= most + 1e-5
        assert -most - 1e-5 <= found.min() < -0.98 * most
    together = torch.corrcoef(torch.stack((angle, width, height, lean)))
    assert (together - torch.eye(4)).abs().max() < 0.1


def test_strength() -> None:
    assert BEND.times(2) == Bend(20, 0.2, 0.2, 3)
