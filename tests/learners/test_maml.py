"""The meta-gradient: three ways to it (task-batched, `higher`, written out here), and finite differences."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from metalstm.learners.maml import MAML
from metalstm.tasks.examples import TaskBatch
from support.learners import each_order, each_rates, from_start, make_maml, make_tasks, meta_gradient
from support.tensors import difference

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}

each_dtype = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
each_steps = pytest.mark.parametrize("inner_steps", [1, 3, 5])


def lstm(weights: dict[str, Tensor], inputs: Tensor) -> Tensor:
    """The answers of one layer in one direction, straight from the equations: [B, S, F] to [B, O].

    With layer norm where there are weights for it.
    """
    w_i, w_f, w_c, w_o = torch.cat((weights["weight_hh_l0"][0], weights["weight_ih_l0"][0]), dim=1).chunk(4)
    b_i, b_f, b_c, b_o = (weights["bias_ih_l0"][0] + weights["bias_hh_l0"][0]).chunk(4)
    h = c = inputs.new_zeros(len(inputs), w_i.shape[0])
    for x in inputs.unbind(1):
        both = torch.cat((h, x), dim=1)
        forget, take = torch.sigmoid(both @ w_f.T + b_f), torch.sigmoid(both @ w_i.T + b_i)
        c = forget * c + take * torch.tanh(both @ w_c.T + b_c)
        h = torch.sigmoid(both @ w_o.T + b_o) * torch.tanh(c)
    if "norm_weight" in weights:
        deviation = h - h.mean(dim=1, keepdim=True)
        spread = (deviation.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
        h = deviation / spread * weights["norm_weight"] + weights["norm_bias"]
    return h @ weights["head_weight"].T + weights["head_bias"]


def unrolled(learner: MAML, tasks: TaskBatch, order: str) -> Tensor:
    """MAML's objective (Finn et al. 2017, Algorithm 2), task by task and step by step."""
    loss_of = functional.mse_loss if learner.kind == "regression" else functional.cross_entropy
    total = torch.zeros((), dtype=tasks.support.inputs.dtype)
    for task in range(tasks.tasks):
        fast = dict(learner.model.named_parameters())
        for step in range(learner.inner_steps):
            loss = loss_of(lstm(fast, tasks.support.inputs[task]), tasks.support.targets[task])
            gradients = torch.autograd.grad(loss, list(fast.values()), create_graph=order == "second")
            rates = learner.rates(step)
            fast = {
                name: weight - rates[name] * gradient
                for (name, weight), gradient in zip(fast.items(), gradients, strict=True)
            }
        total = total + loss_of(lstm(fast, tasks.query.inputs[task]), tasks.query.targets[task]) / tasks.tasks
    return total


@each_dtype
@each_rates
@each_order
@each_steps
def test_engines_agree(
    dtype: torch.dtype, learned_rates: str, order: str, inner_steps: int,
) -> None:  # fmt: skip
    same = {"order": order, "learned_rates": learned_rates, "dtype": dtype}
    tasks = make_tasks(dtype=dtype)
    batched, reference = make_maml(inner_steps, **same), make_maml(inner_steps, engine="higher", **same)
    torch.testing.assert_close(batched.meta_loss(tasks).loss, reference.meta_loss(tasks).loss)

    got, want = meta_gradient(batched, tasks), meta_gradient(reference, tasks)
    assert got.keys() == want.keys()
    assert (learned_rates != "none") == any(name.startswith("rates.") for name in got)
    assert all(value.dtype == dtype for value in got.values())
    start = meta_gradient(make_maml(0, dtype=dtype), tasks)
    changes = from_start(want, start)
    assert difference(from_start(got, start), changes) < TOLERANCE[dtype]
    for name, change in zip(want, changes, strict=True):
        assert change.norm() > 0.02 * start.get(name, change).norm(), name


@pytest.mark.parametrize(
    "shape",
    [
        {"layers": 2, "layer_norm": False},
        {"directions": 2, "pooling": "mean", "layer_norm": False},
        {"layers": 2, "directions": 2, "layer_norm": True},
    ],
    ids=["2layers", "2directions_mean", "2layers_2directions_norm"],
)
@pytest.mark.parametrize("ragged", [False, True], ids=["one_length", "ragged"])
@each_dtype
def test_engines_agree_on_larger_models(
    dtype: torch.dtype, ragged: bool, shape: dict[str, object],
) -> None:  # fmt: skip
    tasks = make_tasks(dtype=dtype, ragged=ragged)
    got, want = (
        meta_gradient(make_maml(3, learned_rates="per_parameter_per_step", engine=engine, dtype=dtype, **shape), tasks)
        for engine in ("batched", "higher")
    )
    assert difference(got.values(), want.values()) < TOLERANCE[dtype]


@pytest.mark.parametrize("layer_norm", [False, True], ids=["no_norm", "norm"])
@pytest.mark.parametrize("kind", ["classification", "regression"])
@each_rates
@each_order
@each_steps
def test_equals_the_unrolled_objective(
    kind: str, learned_rates: str, order: str, inner_steps: int, layer_norm: bool,
) -> None:  # fmt: skip
    tasks = make_tasks(kind)
    learner = make_maml(inner_steps, kind=kind, order=order, learned_rates=learned_rates, layer_norm=layer_norm)
    objective = unrolled(learner, tasks, order)
    torch.testing.assert_close(learner.meta_loss(tasks).loss, objective, rtol=1e-12, atol=0)
    want = torch.autograd.grad(objective, list(learner.parameters()))
    assert difference(meta_gradient(learner, tasks).values(), want) < 1e-10


@each_rates
@each_steps
def test_finite_differences(learned_rates: str, inner_steps: int) -> None:
    tasks = make_tasks()
    learner = make_maml(inner_steps, learned_rates=learned_rates)
    first_order = make_maml(inner_steps, learned_rates=learned_rates, order="first")
    gradient, of_first = meta_gradient(learner, tasks), meta_gradient(first_order, tasks)
    generator = torch.Generator().manual_seed(0)
    told_apart = []
    for _ in range(4):
        direction = {
            name: torch.randn(value.shape, generator=generator, dtype=value.dtype) for name, value in gradient.items()
        }

        def along(values: dict[str, Tensor], direction: dict[str, Tensor] = direction) -> float:
            return float(sum((direction[name] * value).sum() for name, value in values.items()))

        def loss_at(distance: float, direction: dict[str, Tensor] = direction) -> float:
            moved = make_maml(inner_steps, learned_rates=learned_rates)
            with torch.no_grad():
                for name, parameter in moved.named_parameters():
                    parameter += distance * direction[name]
            return float(moved.meta_loss(tasks).loss.detach())

        slope = (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5
        assert slope == pytest.approx(along(gradient), rel=1e-5, abs=1e-7)
        told_apart.append(abs(slope - along(of_first)) > 0.01 * abs(slope))
    assert any(told_apart)
