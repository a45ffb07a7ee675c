"""Procedural characters in the spirit of Omniglot: hundreds of classes from a seed, nothing to download.

Only operations that IEEE 754 rounds exactly are used (+ - * / sqrt and comparisons, no sums over an axis, no sines),
so that the pixels are the same on any machine and at any number of threads.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from metalstm.config.fields import bounded
from metalstm.datasets.base import Dataset, DatasetSettings
from metalstm.datasets.images.drawings import DRAWINGS
from metalstm.errors import ConfigError, Problem
from metalstm.registry import register
from metalstm.tasks.classes import SPLITS, ClassDataset
from metalstm.tasks.sampler import seeded_generator

VERSION = "glyphs 1"  # part of the fingerprint: counts the changes to what is drawn
SIDE = 28
STROKES = 4  # at most
STROKE_COUNTS = (0.08, 0.5, 0.88)  # of the classes have fewer than 2, 3, 4 strokes
SAMPLES = 44  # points of ink on a stroke: under a pixel apart on all but the longest
CHUNK = 25  # classes drawn at once, so that the distances stay in the processor's cache
FEWEST_CLASSES = 12  # leaves one class to meta-validation

# A stroke is one of these, as 7 points in its own frame: along the way from its start to its end, and to the side.
SHAPES = (
    ((0.0, 0.0), (0.17, 0.0), (0.33, 0.0), (0.5, 0.0), (0.67, 0.0), (0.83, 0.0), (1.0, 0.0)),  # bar
    ((0.0, 0.0), (0.07, 0.2), (0.25, 0.38), (0.5, 0.45), (0.75, 0.38), (0.93, 0.2), (1.0, 0.0)),  # arc
    ((0.0, 0.0), (0.25, 0.0), (0.5, 0.0), (0.78, 0.02), (0.97, 0.12), (1.0, 0.3), (0.85, 0.45)),  # hook
    ((0.0, 0.0), (0.25, -0.36), (0.75, -0.36), (1.0, 0.0), (0.75, 0.36), (0.25, 0.36), (0.0, 0.0)),  # loop
    ((0.0, 0.0), (0.15, 0.22), (0.33, 0.25), (0.5, 0.0), (0.67, -0.25), (0.85, -0.22), (1.0, 0.0)),  # wave
    ((0.0, 0.0), (0.33, 0.0), (0.67, 0.0), (1.0, 0.0), (0.95, 0.27), (0.9, 0.53), (0.85, 0.8)),  # corner
)
KNOTS = 7


def load_glyphs(classes: int = 600, examples: int = 20, seed: int = 0) -> Dataset:
    """Draws the characters and deals the classes out: 2/3 meta-train, 1/12 meta-validation, 1/4 meta-test.

    Args:
        classes: C, characters over all splits.
        examples: E, drawings of each.
        seed: decides the characters, their drawings and the split.

    Raises:
        ConfigError: too few classes or examples.
    """
    problems = []
    if classes < FEWEST_CLASSES:
        problems.append(
            Problem(
                f"classes={classes}, but dataset 'glyphs' needs {FEWEST_CLASSES} to split",
                f"use {FEWEST_CLASSES} or more",
            )
        )
    if examples < 2:
        problems.append(
            Problem(f"examples={examples}, but a task needs 2 of a class, support and query", "use 2 or more")
        )
    if problems:
        raise ConfigError(*problems)

    generator = seeded_generator(seed, "glyphs")
    controls, strokes = characters(classes, generator)
    chunks = zip(controls.split(CHUNK), strokes.split(CHUNK), strict=True)
    images = torch.cat([draw(*chunk, examples, generator) for chunk in chunks])
    names = [f"glyph_{number:04d}" for number in range(1, classes + 1)]
    order = torch.randperm(classes, generator=generator)
    sizes = (classes - classes // 12 - classes // 4, classes // 12, classes // 4)
    pools = {
        split: ClassDataset(images[which], [names[i] for i in which.tolist()])
        for split, which in zip(SPLITS, order.split(sizes), strict=True)
    }
    digest = hashlib.sha256(repr((VERSION, classes, examples, seed, order.tolist())).encode())
    digest.update(images.numpy().tobytes())
    counts = ", ".join(f"{pool.classes} {split}" for split, pool in pools.items())
    return Dataset(
        name="glyphs",
        splits=pools,
        steps=SIDE,
        features=SIDE,
        images=True,
        fingerprint=digest.hexdigest(),
        description=f"glyphs: {classes} procedural characters ({counts}), {examples} drawings of each",
        reader=DRAWINGS,
    )


def characters(classes: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Latent drawings: control points [C, STROKES, KNOTS, 2] (x, y) within -1..1, and the numbers of strokes [C]."""
    thresholds = torch.tensor(STROKE_COUNTS)
    strokes = 1 + (torch.rand(classes, 1, generator=generator) >= thresholds).sum(dim=1)
    kinds = torch.randint(len(SHAPES), (classes, STROKES), generator=generator)
    kinds = torch.where((strokes == 1).unsqueeze(1) & (kinds == 0), 4, kinds)  # a lone bar becomes a wave
    local = torch.tensor(SHAPES)[kinds] + 0.08 * bell((classes, STROKES, KNOTS, 2), generator)
    mirrored = torch.rand(classes, STROKES, 1, generator=generator) < 0.5
    along, aside = local[..., 0], torch.where(mirrored, -local[..., 1], local[..., 1])

    drawn: list[Tensor] = []  # [C, KNOTS, 2] each
    for number in range(STROKES):
        start = 2 * torch.rand(classes, 2, generator=generator) - 1
        if number > 0:  # most strokes set out from a point of the stroke before
            onto = torch.randint(KNOTS, (classes, 1, 1), generator=generator).expand(-1, 1, 2)
            attached = torch.rand(classes, 1, generator=generator) < 0.7
            start = torch.where(attached, drawn[-1].gather(1, onto).squeeze(1), start)
        way = 2 * torch.rand(classes, 2, generator=generator) - 1 - 0.8 * start  # rather inwards than off the page
        length = (way[:, 0] * way[:, 0] + way[:, 1] * way[:, 1]).sqrt().clamp(min=1e-3)
        way = way * (length.clamp(0.9, 1.8) / length).unsqueeze(1)
        x = start[:, :1] + along[:, number] * way[:, :1] - aside[:, number] * way[:, 1:]
        y = start[:, 1:] + along[:, number] * way[:, 1:] + aside[:, number] * way[:, :1]
        drawn.append(torch.stack([x, y], dim=-1))
    controls = torch.stack(drawn, dim=1)

    # Fill the page: the strokes in use are centred and stretched, the flatter side less than the longer.
    absent = (torch.arange(STROKES) >= strokes.unsqueeze(1)).view(classes, STROKES, 1, 1)
    low = controls.masked_fill(absent, torch.inf).flatten(1, 2).amin(dim=1).view(classes, 1, 1, 2)
    high = controls.masked_fill(absent, -torch.inf).flatten(1, 2).amax(dim=1).view(classes, 1, 1, 2)
    extent = (high - low) / 2
    longest = extent.amax(dim=-1, keepdim=True)
    return (controls - (low + high) / 2) / torch.maximum(extent, 0.65 * longest), strokes


def draw(controls: Tensor, strokes: Tensor, examples: int, generator: torch.Generator) -> Tensor:
    """[C, E, SIDE, SIDE] uint8: each character drawn anew E times.

    Args:
        controls: [C, STROKES, KNOTS, 2], as from `characters`.
        strokes: [C] strokes in use.
        examples: E.
    """
    size = (len(controls), examples)
    points = controls.unsqueeze(1) + 0.09 * bell((*size, STROKES, KNOTS, 2), generator)
    points = points + 0.12 * bell((*size, STROKES, 1, 2), generator)  # each stroke lands a little elsewhere
    x, y = points.unbind(-1)  # [C, E, STROKES, KNOTS]
    wide, tall, slant, turn, right, down = bell((6, *size, 1, 1), generator).unbind(0)
    turn = 0.2 * turn  # radians, about 6 degrees; small enough to be a shear in both directions
    x, y = (1 + 0.2 * wide) * x + (0.35 * slant - turn) * y, turn * x + (1 + 0.2 * tall) * y
    middle = (SIDE - 1) / 2
    x = middle + 9.0 * x + 3.0 * right
    y = middle + 9.0 * y + 3.0 * down
    radius = 0.6 + 0.7 * torch.rand(*size, 1, 1, generator=generator)  # pixels

    distance = torch.full((*size, SIDE, SIDE), torch.inf)  # squared, from a pixel's centre to the nearest ink
    pixels = torch.arange(SIDE).float()
    for number in range(STROKES):
        used = strokes > number
        dx = spline(x[used, :, number]).unsqueeze(-1) - pixels  # [C, E, SAMPLES, SIDE]
        dy = spline(y[used, :, number]).unsqueeze(-1) - pixels
        dx, dy = dx * dx, dy * dy
        nearest = distance[used]
        for sample in range(SAMPLES):
            torch.minimum(nearest, dx[:, :, sample].unsqueeze(-2) + dy[:, :, sample].unsqueeze(-1), out=nearest)
        distance[used] = nearest
    ink = (radius + 0.5 - distance.sqrt()).clamp(0, 1)  # a border of one pixel, half covered in its middle
    ink = ink * (1 - 0.25 * torch.rand(ink.shape, generator=generator))
    return (ink * 255 + 0.5).to(torch.uint8)


def spline(knots: Tensor) -> Tensor:
    """[..., SAMPLES]: the Catmull-Rom spline through knots [..., KNOTS], one coordinate of a stroke, evenly sampled."""
    before = 2 * knots[..., :1] - knots[..., 1:2]
    after = 2 * knots[..., -1:] - knots[..., -2:-1]
    padded = torch.cat([before, knots, after], dim=-1)
    at = torch.arange(SAMPLES) * ((KNOTS - 1) / (SAMPLES - 1))
    piece = at.long().clamp(max=KNOTS - 2)
    t = at - piece
    a, b, c, d = (padded[..., piece + i] for i in range(4))
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


def bell(size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """[*size]: bell-shaped around 0, standard deviation 1/2, within -1.5..1.5: the sum of three uniform numbers."""
    first, second, third = torch.rand(3, *size, generator=generator).unbind(0)
    return first + second + third - 1.5


@register("dataset", "glyphs")
@dataclass(kw_only=True)
class GlyphsSettings(DatasetSettings):
    """The settings of procedural characters."""

    classes: int = bounded(minimum=12)
    examples: int = bounded(minimum=2)
    seed: int = bounded(minimum=0, below=2**32)

    def load(self) -> Dataset:
        return load_glyphs(self.classes, self.examples, self.seed)
