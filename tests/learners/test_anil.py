"""ANIL: the head adapts to features that the body reads once (Raghu et al. 2020), against loops of `torch.nn.LSTM`."""

from collections.abc import Callable, Iterable
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from metalstm.learners.inner_loop.adaptation import HeadOnly
from metalstm.learners.inner_loop.learned_rates import LearnedRates
from metalstm.learners.maml import MAML
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.tasks.examples import TaskBatch

Difference = Callable[[Iterable[Tensor], Iterable[Tensor]], float]
MakeTasks = Callable[..., TaskBatch]
OUTPUTS = {"classification": 3, "regression": 2}
LOSSES = {"classification": functional.cross_entropy, "regression": functional.mse_loss}
FEATURES, HIDDEN, RATE = 4, 6, 0.3
LSTM_WEIGHTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")

each_kind = pytest.mark.parametrize("kind", ["classification", "regression"])
each_order = pytest.mark.parametrize("order", ["first", "second"])
each_rates = pytest.mark.parametrize("learned_rates", get_args(LearnedRates))
pytestmark = pytest.mark.usefixtures("in_float64")


def anil(inner_steps: int, kind: str = "classification", **settings: object) -> MAML:
    """A learner in which no weight and no learned rate is equal to another."""
    generator = torch.Generator().manual_seed(7)
    model = LSTMModel(ModelShape(FEATURES, OUTPUTS[kind], hidden_size=HIDDEN), generator)
    learner = MAML(HeadOnly(model), kind, inner_steps, RATE, **settings)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.6 * torch.randn(weight.shape, generator=generator))
        for rate in learner.rates.parameters():
            rate *= 0.4 + 1.2 * torch.rand(rate.shape, generator=generator)
    for weight in learner.parameters():
        assert weight.unique().numel() == weight.numel()
    return learner


def features(weights: dict[str, Tensor], inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The normalised last states of an `nn.LSTM`, sequence by sequence: [B, S, F] to [B, H]."""
    lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
    own = {name: weights[name][0] for name in LSTM_WEIGHTS}
    last = []
    for place, sequence in enumerate(inputs):
        real = sequence if lengths is None else sequence[: int(lengths[place])]
        _, (h, _) = torch.func.functional_call(lstm, own, (real.unsqueeze(0),))
        last.append(h[0, 0])
    return functional.layer_norm(torch.stack(last), (HIDDEN,), weights["norm_weight"], weights["norm_bias"])


def rate(learner: MAML, name: str, step: int) -> Tensor | float:
    """The rate of a weight at a step; where steps share one, it is the only one."""
    learned = dict(learner.rates.named_parameters())
    return RATE * learned[name][min(step, len(learned[name]) - 1)] if learned else RATE


def unrolled(learner: MAML, tasks: TaskBatch, constant_features: bool = False) -> Tensor:
    """The meta-loss, task by task and step by step."""
    loss_of = LOSSES[learner.kind]
    weights = dict(learner.model.named_parameters())
    losses = []
    for task in range(tasks.tasks):
        support, query = (
            features(weights, part.inputs[task], None if part.lengths is None else part.lengths[task])
            for part in tasks[:2]
        )
        if constant_features:
            support = support.detach()
        head = {name: weights[name] for name in ("head_weight", "head_bias")}
        for step in range(learner.inner_steps):
            loss = loss_of(functional.linear(support, *head.values()), tasks.support.targets[task])
            found = torch.autograd.grad(loss, list(head.values()), retain_graph=True, create_graph=True)
            head = {
                name: weight - rate(learner, name, step) * (g.detach() if learner.order == "first" else g)
                for (name, weight), g in zip(head.items(), found, strict=True)
            }
        losses.append(loss_of(functional.linear(query, *head.values()), tasks.query.targets[task]))
    assert len({round(loss.item(), 9) for loss in losses}) == tasks.tasks  # the tasks differ
    return torch.stack(losses).mean()


def gradient(learner: MAML, loss: Tensor) -> dict[str, Tensor]:
    parameters = dict(learner.named_parameters())
    return dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))


def changes(found: dict[str, Tensor], start: dict[str, Tensor]) -> list[Tensor]:
    """What adapting makes of the gradient: without it, parity could be that of the plain query loss."""
    return [value - start[name] if name in start else value for name, value in found.items()]


@each_kind
@each_order
@each_rates
@pytest.mark.parametrize("inner_steps", [1, 3])
def test_equals_the_unrolled_objective(
    difference: Difference, make_tasks: MakeTasks, kind: str, order: str, learned_rates: str, inner_steps: int
) -> None:
    tasks = make_tasks(kind)
    assert all(part.inputs.unique().numel() == part.inputs.numel() for part in tasks[:2])
    learner = anil(inner_steps, kind, order=order, learned_rates=learned_rates)
    outcome, objective = learner.meta_loss(tasks), unrolled(learner, tasks)
    torch.testing.assert_close(outcome.loss, objective, rtol=1e-12, atol=0)
    without = anil(0, kind)
    start = gradient(without, unrolled(without, tasks))
    got, want = gradient(learner, outcome.loss), gradient(learner, objective)
    assert difference(changes(got, start), changes(want, start)) < 1e-9


@each_order
def test_equals_the_unrolled_objective_on_ragged_sequences(
    difference: Difference, make_tasks: MakeTasks, order: str
) -> None:
    tasks = make_tasks(ragged=True)
    learner = anil(2, order=order)
    got, want = gradient(learner, learner.meta_loss(tasks).loss), gradient(learner, unrolled(learner, tasks))
    assert difference(got.values(), want.values()) < 1e-9


@each_order
def test_a_part_of_the_tasks_at_a_time(difference: Difference, make_tasks: MakeTasks, order: str) -> None:
    tasks = make_tasks()
    learner = anil(2, order=order, learned_rates="per_parameter_per_step", task_chunk_size=2)
    got, want = gradient(learner, learner.meta_loss(tasks).loss), gradient(learner, unrolled(learner, tasks))
    assert difference(got.values(), want.values()) < 1e-9


def test_the_body_learns_through_the_features_of_the_support_set(difference: Difference, make_tasks: MakeTasks) -> None:
    tasks = make_tasks()
    second, first = anil(3), anil(3, order="first")
    got = gradient(second, second.meta_loss(tasks).loss)
    body = [name for name in got if "head" not in name]
    assert len(body) == 6
    for other in (gradient(second, unrolled(second, tasks, True)), gradient(first, first.meta_loss(tasks).loss)):
        assert all(difference([other[name]], [got[name]]) > 0.01 for name in body)


@each_kind
def test_finite_differences(make_tasks: MakeTasks, kind: str) -> None:
    tasks = make_tasks(kind)
    learner = anil(3, kind, learned_rates="per_parameter_per_step")
    found = gradient(learner, learner.meta_loss(tasks).loss)
    generator = torch.Generator().manual_seed(0)
    direction = {name: torch.randn(value.shape, generator=generator) for name, value in found.items()}
    slope = sum(float((direction[name] * value).sum()) for name, value in found.items())

    def loss_at(distance: float) -> float:
        moved = anil(3, kind, learned_rates="per_parameter_per_step")
        with torch.no_grad():
            for name, parameter in moved.named_parameters():
                parameter += distance * direction[name]
        return moved.meta_loss(tasks).loss.item()

    assert (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5 == pytest.approx(slope, rel=1e-5)


@each_kind
def test_adapting_trains_a_linear_layer_on_fixed_features(
    difference: Difference, make_tasks: MakeTasks, kind: str
) -> None:
    tasks = make_tasks(kind)
    learner = anil(3, kind)
    curve = learner.adaptation_curve(tasks, [0, 1, 4])
    weights = {name: weight.detach() for name, weight in learner.model.named_parameters()}
    for task in range(tasks.tasks):
        support, query = (features(weights, part.inputs[task]) for part in tasks[:2])
        linear = nn.Linear(HIDDEN, OUTPUTS[kind])
        linear.load_state_dict({"weight": weights["head_weight"], "bias": weights["head_bias"]})
        sgd = torch.optim.SGD(linear.parameters(), lr=RATE)
        answers = []
        for _ in range(5):
            answers.append(linear(query).detach())
            sgd.zero_grad()
            LOSSES[kind](linear(support), tasks.support.targets[task]).backward()
            sgd.step()
        want = torch.stack([answers[step] for step in (0, 1, 4)])
        assert difference([curve[0, task]], [want[0]]) < 1e-12
        assert difference(curve[1:, task] - curve[0, task], want[1:] - want[0]) < 1e-9


@pytest.mark.parametrize("learned_rates", ["per_parameter", "per_parameter_per_step", "per_layer_per_step"])
def test_only_the_head_has_rates(learned_rates: str) -> None:
    assert {name for name, _ in anil(2, learned_rates=learned_rates).rates.named_parameters()} == {
        "head_weight",
        "head_bias",
    }
