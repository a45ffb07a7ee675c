"""The sinusoid family: targets solved for independently, bounds, both forms, and the sampler's reproducibility."""

import math
from typing import Literal

import pytest
import torch
from torch import Tensor

from metalstm.datasets.series.sinusoid import load_sinusoid
from metalstm.errors import ConfigError
from metalstm.tasks.classes import SPLITS
from metalstm.tasks.examples import Examples, TaskBatch
from metalstm.tasks.sampler import TaskSampler, TaskShape

FORMS = pytest.mark.parametrize("form", ["points", "curve"])
Form = Literal["points", "curve"]
TEN_SHOT = TaskShape(ways=1, shots=10, queries=15)


def sample(form: Form, shape: TaskShape = TEN_SHOT, tasks: int = 500) -> TaskBatch:
    return TaskSampler(load_sinusoid(form).splits["meta_train"], shape, tasks, 0, "meta_train")(0)


def basis(examples: Examples) -> tuple[Tensor, Tensor]:
    """[T, points, 2] sin x and cos x, and [T, points, 1] y, in float64: y is linear in the two."""
    x = examples.inputs.double().flatten(1)
    return torch.stack([x.sin(), x.cos()], dim=-1), examples.targets.double().flatten(1).unsqueeze(-1)


@FORMS
def test_the_support_set_determines_the_query_targets(form: Form) -> None:
    tasks = sample(form)
    weights = torch.linalg.lstsq(*basis(tasks.support)).solution  # [T, 2, 1]
    at, wanted = basis(tasks.query)
    assert wanted.std() > 1
    assert (at @ weights - wanted).abs().max() < 1e-4


@FORMS
def test_amplitudes_phases_and_positions_fill_their_ranges(form: Form) -> None:
    tasks = sample(form, tasks=3000)
    # A sin(x - phase) = (A cos phase) sin x + (-A sin phase) cos x
    weights = torch.linalg.lstsq(*basis(tasks.support)).solution.squeeze(-1)
    amplitude = weights.norm(dim=1)
    phase = torch.atan2(-weights[:, 1], weights[:, 0])
    for values, low, high in ((amplitude, 0.1, 5.0), (phase, 0.0, math.pi), (tasks.query.inputs, -5.0, 5.0)):
        assert low - 1e-3 <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high + 1e-3
        assert values.mean().item() == pytest.approx((low + high) / 2, abs=0.02 * (high - low))
        assert values.std() > 0.2 * (high - low)
    assert abs(torch.corrcoef(torch.stack([amplitude, phase]))[0, 1]) < 0.1


def test_a_point_is_one_step_with_one_target() -> None:
    dataset = load_sinusoid("points")
    tasks = sample("points", TaskShape(1, 5, 7), tasks=3)
    assert (dataset.steps, dataset.features, dataset.outputs, dataset.images) == (1, 1, 1, False)
    assert dataset.kind == "regression"
    assert tasks.support.inputs.shape == (3, 5, 1, 1)
    assert tasks.support.targets.shape == (3, 5, 1)
    assert tasks.query.inputs.shape == (3, 7, 1, 1)
    assert tasks.query.targets.shape == (3, 7, 1)
    assert tasks.support.inputs.dtype == tasks.support.targets.dtype == torch.float32


def test_a_stretch_of_the_curve_is_increasing_and_evenly_spaced() -> None:
    dataset = load_sinusoid("curve", window=6)
    tasks = TaskSampler(dataset.splits["meta_test"], TaskShape(1, 5, 7), 3, 0, "meta_test")(0)
    assert (dataset.steps, dataset.features, dataset.outputs) == (6, 1, 6)
    assert tasks.support.inputs.shape == (3, 5, 6, 1)
    assert tasks.support.targets.shape == (3, 5, 6)
    assert tasks.query.targets.shape == (3, 7, 6)
    spacing = tasks.query.inputs.diff(dim=2)
    assert torch.allclose(spacing, torch.full_like(spacing, 0.5), atol=1e-5)


@FORMS
def test_a_meta_batch_depends_on_seed_split_and_step_alone(form: Form) -> None:
    dataset = load_sinusoid(form)
    shape = TaskShape(1, 3, 4)

    def targets(seed: int, split: str, step: int) -> Tensor:
        return TaskSampler(dataset.splits[split], shape, 4, seed, split)(step).query.targets

    first = targets(0, "meta_train", 5)
    torch.manual_seed(1)
    assert torch.equal(first, targets(0, "meta_train", 5))
    others = [targets(1, "meta_train", 5), targets(0, "meta_train", 6), targets(0, "meta_test", 5)]
    assert all(not torch.isclose(first, other).any(dim=-1).all() for other in others)
    assert set(dataset.splits) == set(SPLITS)


def test_the_fingerprint_tells_the_families_apart() -> None:
    families = (load_sinusoid("points", 8), load_sinusoid("curve", 8), load_sinusoid("curve", 6))
    prints = [family.fingerprint for family in families]
    assert len(set(prints)) == 3
    assert load_sinusoid("curve", 8).fingerprint == prints[1]
    assert load_sinusoid("points", 6).fingerprint == prints[0]  # points have no window


def test_more_than_one_way_is_refused() -> None:
    with pytest.raises(ConfigError, match="ways=5"):
        sample("points", TaskShape(5, 1, 1))


def test_an_unknown_form_and_a_stretch_that_does_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="form='spiral'"):
        load_sinusoid("spiral")  # type: ignore[arg-type]
    for window in (1, 22):
        with pytest.raises(ConfigError, match=f"window={window}"):
            load_sinusoid("curve", window)
    assert load_sinusoid("curve", 21).steps == 21
