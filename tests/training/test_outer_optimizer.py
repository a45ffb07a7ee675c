"""The outer optimizer: Adam, written out; its schedule; its clipping; and no step that is not finite."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metalstm.errors import DivergedError
from metalstm.training.outer_optimizer import OuterOptimizer


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(3)
    return [nn.Parameter(torch.randn(size, generator=generator, dtype=torch.float64)) for size in ((4, 3), (3,))]


def optimizer(weights: list[nn.Parameter], **changes: Any) -> OuterOptimizer:
    given: dict[str, Any] = {"lr": 0.05, "schedule": "cosine", "steps": 8, "clip_norm": None}
    return OuterOptimizer(weights, **(given | changes))


def loss_of(weights: list[Tensor], step: int) -> Tensor:
    return sum(((weight * step).sin() + weight.square()).sum() for weight in weights)  # type: ignore[return-value]


def norm_of(gradients: list[Tensor]) -> float:
    return math.sqrt(sum(gradient.square().sum().item() for gradient in gradients))


@pytest.mark.parametrize("clip_norm", [None, 0.7])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_adam_by_hand(schedule: str, clip_norm: float | None) -> None:
    ours, hand = parameters(), [weight.detach().clone() for weight in parameters()]
    start = [weight.clone() for weight in hand]
    outer = optimizer(ours, schedule=schedule, clip_norm=clip_norm)
    first, second = ([torch.zeros_like(weight) for weight in hand] for _ in range(2))
    clipped = 0
    for step in range(1, 9):
        outer.step(loss_of(list(ours), step), step)
        # Kingma & Ba 2015, Algorithm 1, after clipping and at the schedule's rate.
        with_gradient = [weight.clone().requires_grad_() for weight in hand]
        gradients = list(torch.autograd.grad(loss_of(with_gradient, step), with_gradient))
        norm = norm_of(gradients)
        if clip_norm is not None and norm > clip_norm:
            clipped += 1
            gradients = [gradient * clip_norm / norm for gradient in gradients]
        rate = 0.05 if schedule == "constant" else 0.05 * (1 + math.cos(math.pi * (step - 1) / 8)) / 2
        for i, gradient in enumerate(gradients):
            first[i] = 0.9 * first[i] + 0.1 * gradient
            second[i] = 0.999 * second[i] + 0.001 * gradient.square()
            m, v = first[i] / (1 - 0.9**step), second[i] / (1 - 0.999**step)
            hand[i] = hand[i] - rate * m / (v.sqrt() + 1e-8)
    assert clipped == (0 if clip_norm is None else 8)
    for our, other, begin in zip(ours, hand, start, strict=True):
        assert (other - begin).abs().min() > 1e-3
        torch.testing.assert_close(our.detach() - begin, other - begin, rtol=1e-5, atol=1e-9)


def test_cosine_from_the_full_rate_down_to_nearly_zero() -> None:
    outer = optimizer(parameters(), lr=0.2, steps=4)
    expected = [0.2, 0.1 * (1 + math.sqrt(0.5)), 0.1, 0.1 * (1 - math.sqrt(0.5))]
    assert [outer.rate(step) for step in (1, 2, 3, 4)] == pytest.approx(expected)
    assert outer.rate(5) == pytest.approx(0)


def test_a_short_gradient_is_not_clipped() -> None:
    free, bound = parameters(), parameters()
    optimizer(free).step(loss_of(list(free), 1), 1)
    optimizer(bound, clip_norm=1e6).step(loss_of(list(bound), 1), 1)
    assert all(torch.equal(one, other) for one, other in zip(free, bound, strict=True))


@pytest.mark.parametrize("what", ["loss", "gradient", "one gradient"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nothing_that_is_not_finite_gets_into_the_weights(what: str, value: float) -> None:
    weights = parameters()
    outer = optimizer(weights, clip_norm=1.0)
    outer.step(loss_of(list(weights), 1), 1)
    before = [weight.detach().clone() for weight in weights]
    moments = [entry["exp_avg"].clone() for entry in outer.state_dict()["state"].values()]
    loss = loss_of(list(weights), 2)
    if what == "loss":
        loss = loss + value
    elif what == "gradient":
        loss = loss + sum((weight - weight.detach()).sum() for weight in weights) * value
    else:
        loss = loss + (weights[1][0] - weights[1][0].detach()) * value
        loss = loss - loss.detach() + 1.0 if math.isfinite(loss.item()) else loss
    with pytest.raises(DivergedError, match=r"at step 2\n  fix: .*outer_lr"):
        outer.step(loss, 2)
    assert all(torch.equal(one, other) for one, other in zip(weights, before, strict=True))
    after = [entry["exp_avg"] for entry in outer.state_dict()["state"].values()]
    assert all(torch.equal(one, other) for one, other in zip(moments, after, strict=True))


def test_an_infinite_gradient_of_a_finite_loss() -> None:
    weight = nn.Parameter(torch.zeros(2))
    loss = weight.sqrt().sum()  # 0, with an infinite slope
    assert loss.item() == 0
    with pytest.raises(DivergedError, match="norm of the meta-gradient is inf at step 1"):
        optimizer([weight]).step(loss, 1)
    assert weight.tolist() == [0, 0]


def test_goes_on_from_its_state() -> None:
    through, stopped = parameters(), parameters()
    whole, first = optimizer(through, clip_norm=1.0), optimizer(stopped, clip_norm=1.0)
    for step in range(1, 4):
        whole.step(loss_of(list(through), step), step)
        first.step(loss_of(list(stopped), step), step)
    second = optimizer(stopped, clip_norm=1.0)
    second.load_state_dict(first.state_dict())
    for step in range(4, 7):
        whole.step(loss_of(list(through), step), step)
        second.step(loss_of(list(stopped), step), step)
    assert all(torch.equal(one, other) for one, other in zip(through, stopped, strict=True))


@pytest.mark.parametrize("name", ["step", "exp_avg", "exp_avg_sq"])
@pytest.mark.parametrize("value", [None, torch.zeros(7, 7)])
def test_a_state_that_is_none(name: str, value: Tensor | None) -> None:
    weights = parameters()
    outer = optimizer(weights)
    outer.step(loss_of(weights, 1), 1)
    state = outer.state_dict()
    optimizer(parameters()).load_state_dict(state)
    state["state"][1][name] = value
    with pytest.raises((ValueError, TypeError)):  # by torch, or here
        optimizer(parameters()).load_state_dict(state)
