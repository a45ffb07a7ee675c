"""The LSTM as optimizer (Ravi & Larochelle 2017), against its equations, coordinate by coordinate."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from metalstm.learners.lstm_optimizer import LSTMOptimizer, as_features
from metalstm.nn.mlp import MLPModel, MLPShape
from metalstm.tasks.examples import Examples, TaskBatch
from support.learners import LOSSES, OUTPUTS, each_kind, gradient, make_tasks
from support.tensors import difference

SIDE, WIDTH, HIDDEN = 2, 3, 4
NETWORK = ("weight_l0", "bias_l0", "head_weight", "head_bias")

pytestmark = pytest.mark.usefixtures("in_float64")


def optimizer(kind: str = "classification", inner_steps: int = 3, order: str = "first") -> LSTMOptimizer:
    """A learner in which no weight is equal to another."""
    generator = torch.Generator().manual_seed(7)
    network = MLPModel(MLPShape(SIDE * SIDE, OUTPUTS[kind], (WIDTH,)), generator)
    learner = LSTMOptimizer(network, kind, inner_steps, HIDDEN, 0.1, generator, order)
    with torch.no_grad():
        for weight in learner.parameters():
            weight += 0.7 * torch.randn(weight.shape, generator=generator)
            assert weight.unique().numel() == weight.numel()
        learner.forget_bias.fill_(2.0)
    return learner


def small_tasks(kind: str) -> TaskBatch:
    """Tasks of 2 steps of 2 features."""
    tasks = make_tasks(kind)
    support, query = (part._replace(inputs=part.inputs[:, :, :SIDE, :SIDE]) for part in tasks[:2])
    assert all(part.inputs.unique().numel() == part.inputs.numel() for part in (support, query))
    return TaskBatch(support, query)


def network_loss(kind: str, weights: dict[str, Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
    return LOSSES[kind](network_answers(weights, inputs), targets)


def network_answers(weights: dict[str, Tensor], inputs: Tensor) -> Tensor:
    hidden = functional.linear(inputs.reshape(len(inputs), -1), weights["weight_l0"], weights["bias_l0"]).relu()
    return functional.linear(hidden, weights["head_weight"], weights["head_bias"])


def features(x: float) -> list[float]:
    """Ravi & Larochelle 2017, appendix, with p = 10."""
    if abs(x) >= math.exp(-10):
        return [math.log(abs(x)) / 10, math.copysign(1, x)]
    return [-1, math.exp(10) * x]


class Coordinate:
    """A weight, and what the optimizer knows of it."""

    def __init__(self, learner: LSTMOptimizer, weight: Tensor) -> None:
        self.learner = learner
        self.weight = weight
        bias = learner.lstm.get_parameter("bias_l0")
        self.cell = {
            "weight_ih": learner.lstm.get_parameter("w_x_l0"),
            "weight_hh": learner.lstm.get_parameter("w_h_l0"),
            "bias_ih": bias,
            "bias_hh": torch.zeros_like(bias),
        }
        self.state = (torch.zeros(HIDDEN), torch.zeros(HIDDEN))
        # Before the first update: all of a weight is kept, and the input gate is at its bias.
        self.i = torch.tensor(1 / (1 + math.exp(-learner.input_bias.item())))
        self.f = torch.tensor(1.0)

    def update(self, gradient: Tensor, loss: Tensor, constant: bool) -> None:
        seen = torch.tensor(features(gradient.item()) + features(loss.item()))
        self.state = torch.func.functional_call(nn.LSTMCell(4, HIDDEN), self.cell, (seen, self.state))
        gates = []
        for name, before in (("input", self.i), ("forget", self.f)):
            w, b = (self.learner.get_parameter(f"{name}_{part}") for part in ("weight", "bias"))
            known = torch.cat((self.state[0], self.weight.view(1), before.view(1)))
            gates.append(torch.sigmoid(w @ known + b))
        self.i, self.f = gates
        self.weight = self.f * self.weight - self.i * (gradient.detach() if constant else gradient)


def trained(learner: LSTMOptimizer, tasks: TaskBatch, task: int, steps: int, constant: bool = True) -> list[dict]:
    """A task's weights before and after each update."""
    start = {name: learner.model.get_parameter(name) for name in NETWORK}
    coordinates = {name: [Coordinate(learner, w) for w in weight.flatten()] for name, weight in start.items()}
    found = [start]
    for _ in range(steps):
        now = found[-1]
        loss = network_loss(learner.kind, now, tasks.support.inputs[task], tasks.support.targets[task])
        gradients = torch.autograd.grad(loss, list(now.values()), create_graph=True)
        for own, change in zip(coordinates.values(), gradients, strict=True):
            for coordinate, g in zip(own, change.flatten(), strict=True):
                coordinate.update(g, loss, constant)
        found.append(
            {name: torch.stack([c.weight for c in own]).view_as(start[name]) for name, own in coordinates.items()}
        )
    return found


def meta_loss(learner: LSTMOptimizer, tasks: TaskBatch, steps: int, constant: bool = True) -> Tensor:
    losses = [
        network_loss(
            learner.kind,
            trained(learner, tasks, task, steps, constant)[-1],
            tasks.query.inputs[task],
            tasks.query.targets[task],
        )
        for task in range(tasks.tasks)
    ]
    assert len({round(loss.item(), 9) for loss in losses}) == tasks.tasks  # the tasks differ
    return torch.stack(losses).mean()


@each_kind
@pytest.mark.parametrize("inner_steps", [2, 3])  # in the first one the recurrent weights have no say
@pytest.mark.parametrize("order", ["first", "second"])
def test_equals_its_equations(kind: str, inner_steps: int, order: str) -> None:
    tasks = small_tasks(kind)
    learner = optimizer(kind, inner_steps, order)
    outcome = learner.meta_loss(tasks)
    objective = meta_loss(learner, tasks, inner_steps, constant=order == "first")
    torch.testing.assert_close(outcome.loss, objective, rtol=1e-12, atol=0)
    start = gradient(learner, meta_loss(learner, tasks, 0), unused=True)
    got, want = gradient(learner, outcome.loss, unused=True), gradient(learner, objective, unused=True)
    changes = ([value - start[name] for name, value in found.items()] for found in (got, want))
    assert difference(*changes) < 1e-9


def test_orders_differ() -> None:
    """In the gradient of every weight of the network, not in what is predicted."""
    tasks = small_tasks("classification")
    first, second = (optimizer(order=order) for order in ("first", "second"))
    assert torch.equal(first.adaptation_curve(tasks, [3]), second.adaptation_curve(tasks, [3]))
    found, other = (gradient(learner, learner.meta_loss(tasks).loss, unused=True) for learner in (first, second))
    assert all(difference([other[f"model.{name}"]], [found[f"model.{name}"]]) > 0.01 for name in NETWORK)


@each_kind
def test_a_step_of_the_curve_is_one_more_update(kind: str) -> None:
    tasks = small_tasks(kind)
    learner = optimizer(kind)
    at = [0, 1, 4]
    curve = learner.adaptation_curve(tasks, at)
    for task in range(tasks.tasks):
        found = trained(learner, tasks, task, max(at))
        want = torch.stack([network_answers(found[step], tasks.query.inputs[task]).detach() for step in at])
        assert difference([curve[0, task]], [want[0]]) < 1e-12
        assert difference(curve[1:, task] - curve[0, task], want[1:] - want[0]) < 1e-9


@each_kind
def test_gates_that_only_have_a_bias_are_gradient_descent(kind: str) -> None:
    """Where the input gate starts is the rate, and where the forget gate starts a weight is kept."""
    tasks = small_tasks(kind)
    generator = torch.Generator().manual_seed(7)
    network = MLPModel(MLPShape(SIDE * SIDE, OUTPUTS[kind], (WIDTH,)), generator)
    learner = LSTMOptimizer(network, kind, 3, HIDDEN, 0.2, generator)
    with torch.no_grad():
        network.head_weight += torch.randn(network.head_weight.shape, generator=generator)
        learner.input_weight.zero_()
        learner.forget_weight.zero_()
    kept = 1 / (1 + math.exp(-6))
    (curve,) = learner.adaptation_curve(tasks, [3])
    (before,) = learner.adaptation_curve(tasks, [0])
    for task in range(tasks.tasks):
        fast = {name: weight.detach() for name, weight in network.named_parameters()}
        for _ in range(3):
            fast = {name: weight.requires_grad_() for name, weight in fast.items()}
            loss = network_loss(kind, fast, tasks.support.inputs[task], tasks.support.targets[task])
            found = torch.autograd.grad(loss, list(fast.values()))
            fast = {name: (kept * w - 0.2 * g).detach() for (name, w), g in zip(fast.items(), found, strict=True)}
        want = network_answers(fast, tasks.query.inputs[task])
        assert difference([curve[task] - before[task]], [want - before[task]]) < 1e-9


@pytest.mark.parametrize(
    ("value", "size", "sign"),
    [
        (1.0, 0.0, 1.0),
        (-1.0, 0.0, -1.0),
        (math.exp(-5), -0.5, 1.0),
        (-math.exp(-5), -0.5, -1.0),
        (math.exp(7), 0.7, 1.0),
        (math.exp(-10.0001), -1.0, math.exp(-0.0001)),
        (-math.exp(-11), -1.0, -math.exp(-1)),
        (1e-30, -1.0, math.exp(10) * 1e-30),
        (0.0, -1.0, 0.0),
        (-0.0, -1.0, 0.0),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_features_of_numbers_of_any_size(value: float, size: float, sign: float, dtype: torch.dtype) -> None:
    got = as_features(torch.tensor(value, dtype=dtype))
    assert got.dtype == dtype
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    assert got.tolist() == pytest.approx([size, sign], rel=tolerance, abs=tolerance * abs(sign))


def test_features_of_tensors() -> None:
    generator = torch.Generator().manual_seed(0)
    exponents = 20 * torch.rand(3, 5, generator=generator) - 15
    values = exponents.exp() * torch.randn(3, 5, generator=generator).sign()
    assert 0 < int((exponents < -10).sum()) < 15
    want = torch.tensor([[features(value) for value in row] for row in values.tolist()])
    torch.testing.assert_close(as_features(values), want)


@each_kind
def test_no_gradient_is_no_obstacle(kind: str) -> None:
    """Where a network is silent, its gradients are zero, and what is learned of them stays finite."""
    tasks = small_tasks(kind)
    learner = optimizer(kind)
    with torch.no_grad():
        learner.model.get_parameter("bias_l0").fill_(-100)  # no unit is active
    silent = TaskBatch(Examples(tasks.support.inputs * 0, tasks.support.targets), tasks.query)
    found = gradient(learner, learner.meta_loss(silent).loss, unused=True)
    assert all(value.isfinite().all() for value in found.values())
