"""Pendulums of different make: where a few torques take one, learned from a few tries (dynamics adaptation).

Legend: T tasks, B examples, S time steps.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from metalstm.config.fields import bounded
from metalstm.datasets.base import Dataset, DatasetSettings, Kind, more_ways
from metalstm.datasets.series.sinusoid import uniform
from metalstm.errors import ConfigError, Problem
from metalstm.registry import register
from metalstm.tasks.classes import SPLITS
from metalstm.tasks.examples import Examples, TaskBatch
from metalstm.tasks.sampler import TaskShape

# A pendulum is drawn from these, each uniformly.
MASS = (0.5, 2.0)  # kg, a point at the end of a rod without weight
LENGTH = (0.5, 1.5)  # m
FRICTION = (0.0, 0.5)  # N m s, in proportion to the speed
TORQUE_LIMIT = (1.0, 6.0)  # N m, that the motor gives at most
# A try is drawn from these.
ANGLE = (-math.pi, math.pi)  # rad, 0 hangs down
SPEED = (-4.0, 4.0)  # rad/s
TORQUE = (-6.0, 6.0)  # N m, asked of the motor in each step

GRAVITY = 9.81  # m/s2
STEP = 0.05  # s, that a torque is held
SUBSTEPS = 5  # of the integration
FEATURES, OUTPUTS = 4, 3


class Pendulums(NamedTuple):
    """The pendulums of T tasks, [T, 1] each."""

    mass: Tensor
    length: Tensor
    friction: Tensor
    limit: Tensor

    def acceleration(self, angle: Tensor, speed: Tensor, torque: Tensor) -> Tensor:
        """rad/s2, [T, B], of m l2 a = -m g l sin(angle) - friction * speed + torque."""
        inertia = self.mass * self.length.square()
        gravity = GRAVITY / self.length * angle.sin()
        return (torque - self.friction * speed) / inertia - gravity

    def swing(self, angle: Tensor, speed: Tensor, torques: Tensor) -> tuple[Tensor, Tensor]:
        """Angle and speed [T, B] after the torques [T, B, S], each held for STEP, as far as the motor gives them."""
        size = STEP / SUBSTEPS
        for asked in torques.unbind(-1):
            torque = torch.maximum(torch.minimum(asked, self.limit), -self.limit)
            for _ in range(SUBSTEPS):  # the midpoint rule
                half_speed = speed + size / 2 * self.acceleration(angle, speed, torque)
                half_angle = angle + size / 2 * speed
                speed = speed + size * self.acceleration(half_angle, half_speed, torque)
                angle = angle + size * half_speed
        return angle, speed


class PendulumFamily:
    """A task is one pendulum. An example is one try: from a known angle and speed, `window` torques are asked for.

    A step reads sin and cos of the first angle, the first speed and the torque of that step; the target is sin and cos
    of the last angle, and the last speed. Nothing in between is shown, so that what the pendulum is like can only be
    known from other tries. Speeds and torques are given in parts of the largest that is drawn.

    Args:
        window: S, torques of a try.
    """

    def __init__(self, window: int) -> None:
        self.window = window

    def unfit(self, shape: TaskShape) -> list[Problem]:
        return more_ways(shape.ways, "pendulum", "pendulum", "the number of tries to learn from")

    def sample(self, tasks: int, shape: TaskShape, generator: torch.Generator, shard: slice = slice(None)) -> TaskBatch:
        """Draws tasks: support inputs [T, shots, S, 4] and targets [T, shots, 3], queries likewise.

        Raises:
            ConfigError: where `ways` is not 1; a pendulum has no classes.
        """
        if problems := self.unfit(shape):
            raise ConfigError(*problems)
        count = shape.shots + shape.queries
        makes = (uniform(bounds, (tasks, 1), generator) for bounds in (MASS, LENGTH, FRICTION, TORQUE_LIMIT))
        pendulums = Pendulums(*makes)
        angle, speed = (uniform(bounds, (tasks, count), generator) for bounds in (ANGLE, SPEED))
        torques = uniform(TORQUE, (tasks, count, self.window), generator)
        first = torch.stack((angle.sin(), angle.cos(), speed / SPEED[1]), dim=-1)
        inputs = torch.cat(
            (first.unsqueeze(2).expand(-1, -1, self.window, -1), torques.unsqueeze(-1) / TORQUE[1]), dim=-1
        )
        angle, speed = pendulums.swing(angle, speed, torques)
        targets = torch.stack((angle.sin(), angle.cos(), speed / SPEED[1]), dim=-1)

        def examples(which: slice) -> Examples:
            return Examples(inputs[:, which], targets[:, which])

        return TaskBatch(examples(slice(shape.shots)), examples(slice(shape.shots, None))).of_tasks(shard)


def load_pendulum(window: int) -> Dataset:
    """Return the pendulum family. The splits share it: a pendulum is never met twice, as with the sinusoid.

    Args:
        window: torques of a try, at least 1; 0.05 s each.
    """
    family = PendulumFamily(window)
    drawn = (MASS, LENGTH, FRICTION, TORQUE_LIMIT, ANGLE, SPEED, TORQUE)
    made_of = ("pendulum 1", drawn, GRAVITY, STEP, SUBSTEPS, window)
    return Dataset(
        name="pendulum",
        kind="regression",
        splits=dict.fromkeys(SPLITS, family),
        steps=window,
        features=FEATURES,
        outputs=OUTPUTS,
        fingerprint=hashlib.sha256(repr(made_of).encode()).hexdigest(),
        description=f"pendulum: {MASS} kg, {LENGTH} m, friction {FRICTION} N m s, torque limit {TORQUE_LIMIT} N m; "
        f"where {window} torques of {STEP} s take it",
    )


@register("dataset", "pendulum")
@dataclass(kw_only=True)
class PendulumSettings(DatasetSettings):
    """The settings of pendulums."""

    kind: ClassVar[Kind] = "regression"

    window: int = bounded(minimum=1)

    def load(self) -> Dataset:
        return load_pendulum(self.window)
