"""Pendulums: their physics, that a task's tries tell what it is like, and the sampler's reproducibility."""

import math

import pytest
import torch
from torch import Tensor

from metalstm.datasets.series import pendulum
from metalstm.datasets.series.pendulum import GRAVITY, Pendulums, load_pendulum
from metalstm.errors import ConfigError
from metalstm.tasks.examples import TaskBatch
from metalstm.tasks.sampler import TaskSampler, TaskShape


def sample(window: int = 10, tasks: int = 200, split: str = "meta_train", step: int = 0) -> TaskBatch:
    return TaskSampler(load_pendulum(window).splits[split], TaskShape(1, 5, 7), tasks, 0, split)(step)


def of(mass: float = 1.0, length: float = 1.0, friction: float = 0.0, limit: float = 6.0) -> Pendulums:
    return Pendulums(*(torch.tensor([[value]], dtype=torch.float64) for value in (mass, length, friction, limit)))


def at(value: float) -> Tensor:
    return torch.tensor([[value]], dtype=torch.float64)


def pushed(torque: float, steps: int) -> Tensor:
    return torch.full((1, 1, steps), torque, dtype=torch.float64)


def test_small_swings_have_the_period_of_the_book() -> None:
    """2 pi sqrt(l / g): after half of it the pendulum is on the other side."""
    length = GRAVITY * (20 * pendulum.STEP / math.pi) ** 2  # of which half a period is 20 steps
    angle, speed = of(length=length).swing(at(0.01), at(0.0), pushed(0.0, 20))
    assert angle.item() == pytest.approx(-0.01, rel=2e-3)
    assert speed.abs().item() < 1e-4


def test_energy_is_kept_without_friction_and_lost_with_it() -> None:
    def energy(angle: Tensor, speed: Tensor) -> float:
        return float(speed.square() / 2 - GRAVITY * angle.cos())

    start = energy(at(2.0), at(1.0))
    assert energy(*of().swing(at(2.0), at(1.0), pushed(0.0, 20))) == pytest.approx(start, rel=1e-3)
    assert energy(*of(friction=0.5).swing(at(2.0), at(1.0), pushed(0.0, 20))) < start - 1


def test_a_held_torque_is_balanced_by_gravity() -> None:
    """At the angle where m g l sin(angle) is the torque, nothing moves."""
    make = of(mass=0.7, length=1.2)
    balance = math.asin(2.0 / (0.7 * GRAVITY * 1.2))
    angle, speed = make.swing(at(balance), at(0.0), pushed(2.0, 15))
    assert angle.item() == pytest.approx(balance, abs=1e-9)
    assert speed.item() == pytest.approx(0, abs=1e-9)


def test_a_motor_gives_no_more_than_its_limit() -> None:
    weak = of(limit=1.5)
    for asked, given in ((4.0, 1.5), (-4.0, -1.5), (1.0, 1.0)):
        for got, want in zip(
            weak.swing(at(0.3), at(0.1), pushed(asked, 8)), of().swing(at(0.3), at(0.1), pushed(given, 8)), strict=True
        ):
            assert torch.equal(got, want)
    assert not torch.equal(*(weak.swing(at(0.3), at(0.1), pushed(asked, 8))[0] for asked in (4.0, 1.0)))


def test_what_is_read_and_what_is_asked() -> None:
    dataset = load_pendulum(10)
    tasks = sample()
    assert (dataset.steps, dataset.features, dataset.outputs, dataset.kind) == (10, 4, 3, "regression")
    assert tasks.support.inputs.shape == (200, 5, 10, 4)
    assert tasks.query.targets.shape == (200, 7, 3)
    first = tasks.query.inputs[..., :3]
    assert (first == first[:, :, :1]).all()  # of the try's beginning alone
    assert tasks.query.inputs[..., 3].std() > 0.5
    for values in (tasks.query.inputs, tasks.query.targets):
        sine, cosine = values[..., 0], values[..., 1]
        torch.testing.assert_close(sine.square() + cosine.square(), torch.ones_like(sine))
    assert tasks.query.inputs.abs().max() <= 1
    assert (tasks.query.targets - tasks.query.inputs[:, :, 0, :3]).abs().mean() > 0.3  # it moves


def test_the_same_try_ends_elsewhere_with_another_pendulum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each property that is drawn matters by itself."""
    whole = sample()
    assert whole.query.targets.std() > 0.4
    for name, bounds in (("MASS", (1.0, 1.0)), ("LENGTH", (1.0, 1.0)), ("FRICTION", (0, 0)), ("TORQUE_LIMIT", (9, 9))):
        with monkeypatch.context() as patched:
            patched.setattr(pendulum, name, bounds)
            other = sample()
        assert torch.equal(other.query.inputs, whole.query.inputs)
        assert (other.query.targets - whole.query.targets).square().mean() > 1e-3, name


def test_a_pure_function_of_seed_split_and_step() -> None:
    assert torch.equal(sample().query.targets, sample().query.targets)
    for other in (sample(split="meta_test"), sample(step=1)):
        assert not torch.equal(other.query.targets, sample().query.targets)
    assert load_pendulum(10).fingerprint != load_pendulum(9).fingerprint


def test_a_pendulum_has_no_classes() -> None:
    with pytest.raises(ConfigError, match="ways=2, but a task of dataset 'pendulum' is one pendulum"):
        load_pendulum(3).splits["meta_train"].sample(1, TaskShape(2, 1, 1), torch.Generator())
