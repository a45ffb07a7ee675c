"""Recordings that are changed as they are drawn: by so much and no more, and nothing where nothing is asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metalstm.datasets.audio.speech_augment import DISTORTION, Distortion, distorted, played_backwards, resampled
from metalstm.tasks.examples import Examples
from metalstm.tasks.sampler import seeded_generator

NONE = Distortion(*[0.0] * len(Distortion._fields))
LENGTHS = torch.tensor([[30, 12, 1], [30, 29, 17]])


def examples(lengths: torch.Tensor | None = LENGTHS) -> Examples:
    inputs = torch.randn(2, 3, 30, 8, generator=seeded_generator(0))
    if lengths is not None:
        inputs = inputs.masked_fill(torch.arange(30).view(-1, 1) >= lengths.view(2, 3, 1, 1), 0)
    return Examples(inputs, torch.zeros(2, 3, dtype=torch.int64), lengths)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_no_distortion(lengths: torch.Tensor | None) -> None:
    given = examples(lengths)
    torch.testing.assert_close(distorted(given, seeded_generator(1), NONE).inputs, given.inputs, rtol=0, atol=1e-4)


def test_the_generator_decides() -> None:
    one, again, other = (distorted(examples(), seeded_generator(seed)).inputs for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.isclose(one, other).flatten(2).all(dim=2).any()  # not a recording is the same


@pytest.mark.parametrize("field", Distortion._fields)
def test_each_kind_changes_something_and_the_end_stays(field: str) -> None:
    given = examples()
    changed = distorted(given, seeded_generator(3), NONE._replace(**{field: 0.5}))
    assert changed.lengths is given.lengths
    assert changed.targets is given.targets
    difference = (changed.inputs - given.inputs).abs()
    assert (difference.flatten(2).amax(dim=2)[LENGTHS > 1] > 0.01).sum() >= 4
    beyond = torch.arange(30) >= LENGTHS.unsqueeze(-1)
    assert (changed.inputs[beyond] == 0).all()
    assert changed.inputs.isfinite().all()


def test_tempo_and_shift_keep_to_their_bounds() -> None:
    """A ramp in time shows where each frame was read."""
    ramp = Examples(torch.arange(101.0).view(1, 1, -1, 1).expand(1, 400, 101, 4), torch.zeros(1, 400))
    read = distorted(ramp, seeded_generator(0), NONE._replace(tempo=0.2)).inputs[0, :, :, 0]
    slopes = (read[:, 60] - read[:, 40]) / 20
    assert 0.8 <= slopes.min() < 0.83
    assert 1.17 < slopes.max() <= 1.2001
    torch.testing.assert_close(read[:, 50], torch.full((400,), 50.0))  # it goes about its middle
    moved = distorted(ramp, seeded_generator(0), NONE._replace(shift=0.1)).inputs[0, :, 50, 0] - 50
    assert -10.11 < moved.min() < -9
    assert 9 < moved.max() < 10.11


def test_what_is_masked() -> None:
    ones = Examples(torch.ones(1, 300, 30, 20), torch.zeros(1, 300))
    masked = distorted(ones, seeded_generator(0), NONE._replace(masked=0.5)).inputs[0] == 0
    frames, bands = masked.all(dim=2).sum(dim=1), masked.all(dim=1).sum(dim=1)
    assert (frames.min(), bands.min()) == (0, 0)
    assert frames.max() in (14, 15)
    assert bands.max() in (9, 10)
    in_one_piece = masked.all(dim=2).int().diff(dim=1).abs().sum(dim=1) <= 2
    assert in_one_piece.all()
    assert torch.equal(masked, masked.all(dim=2, keepdim=True) | masked.all(dim=1, keepdim=True))


def test_resampled_is_linear_interpolation() -> None:
    inputs = torch.randn(3, 9, 7, generator=seeded_generator(0))
    frame = 8 * torch.rand(3, 9, 1, generator=seeded_generator(1))
    band = 6 * torch.rand(3, 1, 7, generator=seeded_generator(2))
    found = resampled(inputs, frame, band).numpy()
    for number in range(3):
        in_time = np.stack([np.interp(frame[number, :, 0], range(9), inputs[number, :, k]) for k in range(7)], 1)
        want = np.stack([np.interp(band[number, 0], range(7), row) for row in in_time])
        np.testing.assert_allclose(found[number], want, atol=1e-5)


def test_the_default_is_felt_and_bearable() -> None:
    given = examples(None)
    changed = distorted(given, seeded_generator(0), DISTORTION).inputs
    assert 0.3 < (changed - given.inputs).std() < 3


def test_played_backwards() -> None:
    recordings = torch.tensor([[[1.0, 2, 3, 0], [4, 5, 6, 7]]]).unsqueeze(-1)
    found = played_backwards(recordings, torch.tensor([[3, 4]])).squeeze(-1)
    assert found.tolist() == [[[3, 2, 1, 0], [7, 6, 5, 4]]]
    assert torch.equal(played_backwards(recordings, None), recordings.flip(2))
