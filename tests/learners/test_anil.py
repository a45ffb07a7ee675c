"""ANIL: the head adapts to features that the body reads once (Raghu et al. 2020), against loops of `torch.nn.LSTM`."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from metalstm.learners.inner_loop.adaptation import HeadOnly
from metalstm.learners.maml import MAML
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.tasks.examples import TaskBatch
from support.learners import (
    LOSSES,
    OUTPUTS,
    assert_slope,
    computed,
    each_kind,
    each_order,
    each_rates,
    features_of,
    from_start,
    gradient,
    learned_rate,
    make_tasks,
    spread_rates,
    torch_features,
)
from support.tensors import difference, randomise

FEATURES, HIDDEN, RATE = 4, 6, 0.3

pytestmark = pytest.mark.usefixtures("in_float64")


def anil(inner_steps: int, kind: str = "classification", **settings: object) -> MAML:
    """A learner in which no weight and no learned rate is equal to another."""
    generator = torch.Generator().manual_seed(7)
    model = LSTMModel(ModelShape(FEATURES, OUTPUTS[kind], hidden_size=HIDDEN), generator)
    learner = MAML(HeadOnly(model), kind, inner_steps, RATE, **computed(settings))
    randomise(model, 0.6, generator)
    spread_rates(learner, generator)
    for weight in learner.parameters():
        assert weight.unique().numel() == weight.numel()
    return learner


def unrolled(learner: MAML, tasks: TaskBatch, constant_features: bool = False) -> Tensor:
    """The meta-loss, task by task and step by step."""
    loss_of = LOSSES[learner.kind]
    weights = dict(learner.model.named_parameters())
    losses = []
    for task in range(tasks.tasks):
        support, query = (features_of(learner.model, part, task) for part in tasks[:2])
        if constant_features:
            support = support.detach()
        head = {name: weights[name] for name in ("head_weight", "head_bias")}
        for step in range(learner.inner_steps):
            loss = loss_of(functional.linear(support, *head.values()), tasks.support.targets[task])
            found = torch.autograd.grad(loss, list(head.values()), retain_graph=True, create_graph=True)
            head = {
                name: weight - learned_rate(learner, RATE, name, step) * (g.detach() if learner.order == "first" else g)
                for (name, weight), g in zip(head.items(), found, strict=True)
            }
        losses.append(loss_of(functional.linear(query, *head.values()), tasks.query.targets[task]))
    assert len({round(loss.item(), 9) for loss in losses}) == tasks.tasks  # the tasks differ
    return torch.stack(losses).mean()


@each_kind
@each_order
@each_rates
@pytest.mark.parametrize("inner_steps", [1, 3])
def test_equals_the_unrolled_objective(kind: str, order: str, learned_rates: str, inner_steps: int) -> None:
    tasks = make_tasks(kind)
    assert all(part.inputs.unique().numel() == part.inputs.numel() for part in tasks[:2])
    learner = anil(inner_steps, kind, order=order, learned_rates=learned_rates)
    outcome, objective = learner.meta_loss(tasks), unrolled(learner, tasks)
    torch.testing.assert_close(outcome.loss, objective, rtol=1e-12, atol=0)
    without = anil(0, kind)
    start = gradient(without, unrolled(without, tasks))
    got, want = gradient(learner, outcome.loss), gradient(learner, objective)
    assert difference(from_start(got, start), from_start(want, start)) < 1e-9


@each_order
def test_equals_the_unrolled_objective_on_ragged_sequences(order: str) -> None:
    tasks = make_tasks(ragged=True)
    learner = anil(2, order=order)
    got, want = gradient(learner, learner.meta_loss(tasks).loss), gradient(learner, unrolled(learner, tasks))
    assert difference(got.values(), want.values()) < 1e-9


@each_order
def test_a_part_of_the_tasks_at_a_time(order: str) -> None:
    tasks = make_tasks()
    learner = anil(2, order=order, learned_rates="per_parameter_per_step", task_chunk_size=2)
    got, want = gradient(learner, learner.meta_loss(tasks).loss), gradient(learner, unrolled(learner, tasks))
    assert difference(got.values(), want.values()) < 1e-9


def test_the_body_learns_through_the_features_of_the_support_set() -> None:
    tasks = make_tasks()
    second, first = anil(3), anil(3, order="first")
    got = gradient(second, second.meta_loss(tasks).loss)
    body = [name for name in got if "head" not in name]
    assert len(body) == 6
    for other in (gradient(second, unrolled(second, tasks, True)), gradient(first, first.meta_loss(tasks).loss)):
        assert all(difference([other[name]], [got[name]]) > 0.01 for name in body)


@each_kind
def test_finite_differences(kind: str) -> None:
    tasks = make_tasks(kind)
    learner = anil(3, kind, learned_rates="per_parameter_per_step")
    assert_slope(learner, lambda: learner.meta_loss(tasks).loss)


@each_kind
def test_adapting_trains_a_linear_layer_on_fixed_features(kind: str) -> None:
    tasks = make_tasks(kind)
    learner = anil(3, kind)
    curve = learner.adaptation_curve(tasks, [0, 1, 4])
    weights = {name: weight.detach() for name, weight in learner.model.named_parameters()}
    for task in range(tasks.tasks):
        support, query = (torch_features(weights, part.inputs[task]) for part in tasks[:2])
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
