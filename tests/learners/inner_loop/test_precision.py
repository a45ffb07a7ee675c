"""Rounded matrix products: near the exact meta-gradient, and nothing else is rounded."""

import pytest
import torch

from support.learners import make_maml, make_tasks, meta_gradient
from support.tensors import difference

# Rounding errors are 2^-9 and 2^-12 of an operand; an order or a dropped term would be worth more than these bounds.
BOUNDS = {torch.bfloat16: 0.05, torch.float16: 0.01}


@pytest.mark.parametrize("precision", BOUNDS, ids=str)
def test_meta_gradient_is_near_the_exact_one(
    precision: torch.dtype,
) -> None:
    tasks = make_tasks(dtype=torch.float32, ragged=True)
    exact = make_maml(3, dtype=torch.float32, hidden_size=16)
    rounded = make_maml(3, dtype=torch.float32, hidden_size=16, precision=precision)
    first_order = make_maml(3, dtype=torch.float32, hidden_size=16, order="first")
    got, want = meta_gradient(rounded, tasks), meta_gradient(exact, tasks)
    assert all(gradient.dtype == torch.float32 for gradient in got.values())
    names = [name for name in want if "bias" not in name]
    error = difference([got[name] for name in names], [want[name] for name in names])
    assert 1e-5 < error < BOUNDS[precision]
    again = meta_gradient(make_maml(3, dtype=torch.float32, hidden_size=16, precision=precision, recompute=True), tasks)
    assert difference([again[name] for name in names], [got[name] for name in names]) < 0.02 * error
    other = meta_gradient(first_order, tasks)
    assert difference([other[name] for name in names], [want[name] for name in names]) > 2 * BOUNDS[precision]

    curve, exact_curve = (learner.adaptation_curve(tasks, [0, 3]) for learner in (rounded, exact))
    assert curve.dtype == torch.float32
    assert 1e-5 < difference([curve], [exact_curve]) < BOUNDS[precision]
