"""The inner rates: one number, or one for every weight and step, of which the last holds from then on."""

import pytest
import torch

from metalstm.learners.inner_loop.learned_rates import InnerRates
from support.learners import make_maml

WEIGHTS = {"a": torch.zeros(2, 3), "b": torch.zeros(4)}
SHAPES = {name: weight.shape for name, weight in WEIGHTS.items()}


def test_a_fixed_rate_is_no_parameter() -> None:
    rates = InnerRates(SHAPES, 0.1, 3, learned="none")
    assert list(rates.parameters()) == []
    for step in (0, 2, 50):
        assert rates(step).keys() == WEIGHTS.keys()
        assert all(float(rate) == pytest.approx(0.1, rel=1e-7) for rate in rates(step).values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_fixed_rate_takes_the_precision_of_the_weights(dtype: torch.dtype) -> None:
    weight = torch.ones(2, dtype=dtype)
    change = InnerRates(SHAPES, 0.1, 3, learned="none")(0)["a"] * weight
    assert torch.equal(change, torch.full((2,), 0.1, dtype=dtype))


def test_learned_rates_start_at_the_fixed_one() -> None:
    rates = InnerRates(SHAPES, 0.1, 3, learned="per_parameter_per_step")
    assert {name: rate.shape for name, rate in rates.named_parameters()} == {"a": (3, 2, 3), "b": (3, 4)}
    assert all(rate.requires_grad for rate in rates.parameters())
    for step in range(3):
        for name, weight in WEIGHTS.items():
            torch.testing.assert_close(rates(step)[name], torch.full_like(weight, 0.1))


def test_each_step_has_rates_of_its_own_and_the_last_ones_hold() -> None:
    rates = InnerRates(SHAPES, 0.1, 3, learned="per_parameter_per_step")
    with torch.no_grad():
        for name in WEIGHTS:
            rates.get_parameter(name)[1] *= 2
            rates.get_parameter(name)[2] *= 3
    for step, value in enumerate([0.1, 0.2, 0.3, 0.3, 0.3]):
        for name, weight in WEIGHTS.items():
            torch.testing.assert_close(rates(step)[name], torch.full_like(weight, value))


def test_a_step_differentiates_with_respect_to_its_own_rates() -> None:
    rates = InnerRates(SHAPES, 0.1, 3, learned="per_parameter_per_step")
    rates(1)["a"].sum().backward()
    assert rates.get_parameter("a").grad.flatten(1).any(dim=1).tolist() == [False, True, False]
    assert rates.get_parameter("b").grad is None


def test_rates_are_meta_parameters_only_where_learned() -> None:
    fixed, learned = make_maml(2), make_maml(2, learned_rates="per_parameter_per_step")
    weights = {f"model.{name}" for name, _ in fixed.model.named_parameters()}
    assert {name for name, _ in fixed.named_parameters()} == weights
    rates = {name.replace("model.", "rates.") for name in weights}
    assert {name for name, _ in learned.named_parameters()} == weights | rates
