"""Recordings as they might have been as well: faster, higher, later, louder, in noise, with a part not heard.

Legend: T tasks, B examples, N = T * B, S frames, F log-mel bands of mean 0 and standard deviation 1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from metalstm.tasks.examples import Examples


class Distortion(NamedTuple):
    """How far a recording may be changed, each by a number drawn uniformly."""

    tempo: float = 0.2  # how much of it faster or slower
    shift: float = 0.1  # how much of its length earlier or later
    pitch: float = 0.15  # how much of a band's number higher or lower (vocal tract length, Jaitly & Hinton 2013)
    gain: float = 0.5  # louder or softer, in standard deviations
    tilt: float = 0.5  # and brighter or darker: the same at the highest band, its opposite at the lowest
    noise: float = 0.3  # at most, a standard deviation for every frame and band
    masked: float = 0.2  # at most, a share of the frames and one of the bands (SpecAugment, Park et al. 2019)


DISTORTION = Distortion()


def distorted(examples: Examples, generator: torch.Generator, by: Distortion = DISTORTION) -> Examples:
    """Every recording changed by itself: [T, B, S, F], as many frames as it had; what follows its end stays zero."""
    inputs = examples.inputs.flatten(0, 1)  # [N, S, F]
    count, steps, bands = inputs.shape
    lengths = torch.full((count,), steps) if examples.lengths is None else examples.lengths.flatten()
    lengths = lengths.view(-1, 1, 1)

    def drawn(most: float) -> Tensor:
        return most * (2 * torch.rand(count, 1, 1, generator=generator) - 1)

    time, band = torch.arange(steps).view(1, -1, 1), torch.arange(bands).view(1, 1, -1)
    middle = (lengths - 1) / 2
    read_at = middle + (time - middle) * (1 + drawn(by.tempo)) + drawn(by.shift) * lengths
    heard = resampled(inputs, read_at.clamp(min=0).minimum(lengths - 1), band * (1 + drawn(by.pitch)))
    heard = heard + drawn(by.gain) + drawn(by.tilt) * (2 * band / max(1, bands - 1) - 1)
    heard = heard + drawn(by.noise) * torch.randn(inputs.shape, generator=generator)
    for place, size in ((time, lengths), (band, torch.tensor(bands))):
        width = by.masked * torch.rand(count, 1, 1, generator=generator) * size
        first = torch.rand(count, 1, 1, generator=generator) * (size - width)
        heard = heard.masked_fill((place >= first) & (place < first + width), 0)
    return examples._replace(inputs=heard.masked_fill(time >= lengths, 0).view(examples.inputs.shape))


def resampled(inputs: Tensor, frame: Tensor, band: Tensor) -> Tensor:
    """[N, S, F] read at frames [N, S, 1] and bands [N, 1, F] between the whole ones, beyond the edge as at it."""
    steps, bands = inputs.shape[1:]
    x = 2 * band / max(1, bands - 1) - 1
    y = 2 * frame / max(1, steps - 1) - 1
    grid = torch.stack(torch.broadcast_tensors(x, y), dim=-1)  # [N, S, F, 2]
    read = functional.grid_sample(inputs.unsqueeze(1), grid, padding_mode="border", align_corners=True)
    return read.squeeze(1)


def played_backwards(recordings: Tensor, lengths: Tensor | None) -> Tensor:
    """[C, E, S, F], each of its [C, E] real frames, in reverse; what follows its end stays there."""
    if lengths is None:
        return recordings.flip(2)
    step, ends = torch.arange(recordings.shape[2]), lengths.unsqueeze(-1)
    source = torch.where(step < ends, ends - 1 - step, step)  # [C, E, S]
    return recordings.gather(2, source.unsqueeze(-1).expand_as(recordings))
