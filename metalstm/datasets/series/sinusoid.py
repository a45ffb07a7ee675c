"""Sine waves of random amplitude and phase: the regression family of Finn et al. 2017, section 5.1."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from metalstm.config.fields import bounded, one_of
from metalstm.datasets.base import Dataset, DatasetSettings, Kind, more_ways
from metalstm.errors import ConfigError, Problem
from metalstm.registry import register
from metalstm.tasks.classes import SPLITS
from metalstm.tasks.examples import Examples, TaskBatch
from metalstm.tasks.sampler import TaskShape

AMPLITUDE = (0.1, 5.0)
PHASE = (0.0, math.pi)  # radians
POSITION = (-5.0, 5.0)
SPACING = 0.5  # between the steps of a stretch; the default stretch of 8 spans 3.5, over half a period

Form = Literal["points", "curve"]
FORMS = ("points", "curve")


class SinusoidFamily:
    """Functions y = amplitude * sin(x - phase); a task is one of them, seen at a few places.

    Every step reads a position x. An example is a stretch of `window` positions, SPACING apart, read as one sequence;
    its target holds the curve's values there. A window of 1 is the single point of the paper.

    Args:
        window: S, positions in an example, 1 or more.
    """

    def __init__(self, window: int) -> None:
        self.window = window

    def unfit(self, shape: TaskShape) -> list[Problem]:
        return more_ways(shape.ways, "sinusoid", "function", "the k of k-shot regression")

    def sample(self, tasks: int, shape: TaskShape, generator: torch.Generator, shard: slice = slice(None)) -> TaskBatch:
        """Draws tasks: support inputs [T, shots, S, 1] and targets [T, shots, S], queries likewise.

        Raises:
            ConfigError: where `ways` is not 1; a function has no classes.
        """
        if problems := self.unfit(shape):
            raise ConfigError(*problems)
        amplitude = uniform(AMPLITUDE, (tasks, 1, 1), generator)
        phase = uniform(PHASE, (tasks, 1, 1), generator)
        offsets = torch.arange(self.window) * SPACING
        first, last = POSITION
        starts = uniform(
            (first, last - (self.window - 1) * SPACING), (tasks, shape.shots + shape.queries, 1), generator
        )
        positions = starts + offsets  # [T, shots + queries, S]
        values = amplitude * torch.sin(positions - phase)

        def examples(which: slice) -> Examples:
            return Examples(positions[:, which].unsqueeze(-1), values[:, which])

        return TaskBatch(examples(slice(shape.shots)), examples(slice(shape.shots, None))).of_tasks(shard)


def uniform(bounds: tuple[float, float], size: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """[*size]: uniform between the bounds."""
    low, high = bounds
    return low + (high - low) * torch.rand(size, generator=generator)


def load_sinusoid(form: Form = "points", window: int = 8) -> Dataset:
    """Return the sinusoid family in one of two forms.

    The splits share the family: a function is never met twice, since each split's sampler draws from a stream of its
    own, and so meta-test functions are new ones of the kind that was trained on. There is no seed, for there is
    nothing to generate before the sampler draws.

    Args:
        form: `points`: an example is one step, x, and its target y; k-shot as in the paper.
            `curve`: an example is a stretch of `window` steps, and its target the curve's `window` values on it.
        window: S of the form `curve`; the form `points` has 1 step whatever it says.

    Raises:
        ConfigError: an unknown form, or a stretch that is shorter than 2 or does not fit into the positions' range.
    """
    problems = []
    if form not in FORMS:
        problems.append(Problem(f"form={form!r} is unknown to dataset 'sinusoid'", f"use one of {', '.join(FORMS)}"))
    longest = int((POSITION[1] - POSITION[0]) / SPACING) + 1
    if form == "curve" and not 2 <= window <= longest:
        problems.append(
            Problem(
                f"window={window}, but a stretch of the curve, {SPACING} a step in {POSITION}, has 2..{longest} steps",
                f"use window=2..{longest}, or form=points for single points",
            )
        )
    if problems:
        raise ConfigError(*problems)
    steps = window if form == "curve" else 1
    family = SinusoidFamily(steps)
    made_of = ("sinusoid 1", AMPLITUDE, PHASE, POSITION, SPACING, steps)
    return Dataset(
        name="sinusoid",
        kind="regression",
        splits=dict.fromkeys(SPLITS, family),
        steps=steps,
        features=1,
        outputs=steps,
        fingerprint=hashlib.sha256(repr(made_of).encode()).hexdigest(),
        description=f"sinusoid: y = A sin(x - phase), A in {AMPLITUDE}, phase in (0, pi), x in {POSITION}, "
        f"{steps} position{'s' if steps > 1 else ''} an example",
    )


@register("dataset", "sinusoid")
@dataclass(kw_only=True)
class SinusoidSettings(DatasetSettings):
    """The settings of sinusoids."""

    kind: ClassVar[Kind] = "regression"

    form: str = one_of("points", "curve")
    window: int = bounded(minimum=2, below=22)

    def load(self) -> Dataset:
        return load_sinusoid(self.form, self.window)  # type: ignore[arg-type]
