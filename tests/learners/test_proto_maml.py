"""Proto-MAML: the head starts as a prototypical network's, differentiably, and everything adapts from there.

Triantafillou et al. 2020, section 3, against loops over `torch.nn.LSTM`.
"""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from metalstm.learners.inner_loop.adaptation import FromPrototypes, HeadOnly, WholeModel
from metalstm.learners.maml import MAML
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.tasks.examples import Examples, TaskBatch
from support.learners import (
    LOSSES,
    assert_slope,
    computed,
    each_kind,
    each_order,
    each_rates,
    from_start,
    gradient,
    learned_rate,
    spread_rates,
    torch_features,
)
from support.tensors import difference, randomise

STEPS, FEATURES, HIDDEN, RATE = 5, 4, 6, 0.2

pytestmark = pytest.mark.usefixtures("in_float64")


def proto_maml(inner_steps: int, kind: str = "classification", **settings: object) -> MAML:
    """A learner in which no weight and no learned rate is equal to another."""
    generator = torch.Generator().manual_seed(7)
    shape = ModelShape(FEATURES, 0 if kind == "classification" else 2, hidden_size=HIDDEN)
    learner = MAML(
        FromPrototypes(WholeModel(LSTMModel(shape, generator)), kind),
        kind, inner_steps, RATE, **computed(settings),
    )  # fmt: skip
    randomise(learner.model, 1, generator)
    spread_rates(learner, generator)
    for weight in learner.parameters():
        assert weight.unique().numel() == weight.numel()
    return learner


def random_tasks(kind: str = "classification", ways: int = 3, tasks: int = 3) -> TaskBatch:
    """Random sequences; every task's labels in an order of their own, and more of some classes than of others."""
    generator = torch.Generator().manual_seed(11)

    def examples(count: int) -> Examples:
        inputs = torch.randn(tasks, count, STEPS, FEATURES, generator=generator)
        if kind == "regression":
            return Examples(inputs, torch.randn(tasks, count, 2, generator=generator) + 1)
        order = torch.rand(tasks, count, generator=generator).argsort(dim=1)
        return Examples(inputs, (torch.arange(count) % ways)[order])

    made = TaskBatch(examples(2 * ways + 1), examples(ways + 2))
    assert all(part.inputs.unique().numel() == part.inputs.numel() for part in made[:2])
    assert len(made.support.targets.unique(dim=0)) > 1
    return made


def first_weights(learner: MAML, inputs: Tensor, targets: Tensor, constant_head: bool = False) -> dict[str, Tensor]:
    """What a task adapts from: w_k = 2 s p_k, b_k = -s |p_k|^2, s = 1 / sqrt(H); or the mean target in the bias."""
    weights = dict(learner.model.named_parameters())
    if learner.kind == "regression":
        return weights | {"head_bias": weights["head_bias"] + sum(targets) / len(targets)}
    seen = torch_features(weights, inputs)
    centres = []
    for label in range(int(targets.max()) + 1):
        own = [seen[place] for place in range(len(targets)) if targets[place] == label]
        centres.append(sum(own) / len(own))
    rows, biases = [2 * p / math.sqrt(HIDDEN) for p in centres], [-(p @ p) / math.sqrt(HIDDEN) for p in centres]
    head = {"head_weight": torch.stack(rows), "head_bias": torch.stack(biases)}
    return weights | {name: value.detach() if constant_head else value for name, value in head.items()}


def adapted(learner: MAML, tasks: TaskBatch, task: int, steps: int, constant_head: bool = False) -> dict[str, Tensor]:
    """A task's weights after its inner steps."""
    inputs, targets = tasks.support.inputs[task], tasks.support.targets[task]
    # Copies, since an inner gradient is partial: it does not go through how the head was made of the body's weights.
    fast = {
        name: w.clone().requires_grad_() for name, w in first_weights(learner, inputs, targets, constant_head).items()
    }
    for step in range(steps):
        found = torch.autograd.grad(
            LOSSES[learner.kind](predict(fast, inputs), targets), list(fast.values()), create_graph=True
        )
        fast = {
            name: weight - learned_rate(learner, RATE, name, step) * (g.detach() if learner.order == "first" else g)
            for (name, weight), g in zip(fast.items(), found, strict=True)
        }
    return fast


def predict(weights: dict[str, Tensor], inputs: Tensor) -> Tensor:
    return functional.linear(torch_features(weights, inputs), weights["head_weight"], weights["head_bias"])


def unrolled(learner: MAML, tasks: TaskBatch, constant_head: bool = False) -> Tensor:
    """The meta-loss, task by task and step by step."""
    losses = [
        LOSSES[learner.kind](
            predict(adapted(learner, tasks, task, learner.inner_steps, constant_head), tasks.query.inputs[task]),
            tasks.query.targets[task],
        )
        for task in range(tasks.tasks)
    ]
    return torch.stack(losses).mean()


@each_kind
@each_order
@each_rates
@pytest.mark.parametrize("inner_steps", [1, 3])
def test_equals_the_unrolled_objective(kind: str, order: str, learned_rates: str, inner_steps: int) -> None:
    tasks = random_tasks(kind)
    learner = proto_maml(inner_steps, kind, order=order, learned_rates=learned_rates)
    outcome, objective = learner.meta_loss(tasks), unrolled(learner, tasks)
    torch.testing.assert_close(outcome.loss, objective, rtol=1e-12, atol=0)
    without = proto_maml(0, kind)
    start = gradient(without, unrolled(without, tasks))
    got, want = gradient(learner, outcome.loss), gradient(learner, objective)
    assert difference(from_start(got, start), from_start(want, start)) < 1e-9


@each_kind
def test_recomputed_and_a_part_of_the_tasks_at_a_time(kind: str) -> None:
    tasks = random_tasks(kind)
    learner = proto_maml(
        2, kind, learned_rates="per_parameter_per_step", gradient_checkpointing=True, task_chunk_size=2
    )
    got, want = gradient(learner, learner.meta_loss(tasks).loss), gradient(learner, unrolled(learner, tasks))
    assert difference(got.values(), want.values()) < 1e-9


@each_kind
@each_order
@pytest.mark.parametrize("recompute", [False, True], ids=["remembered", "recomputed"])
def test_training_takes_the_steps_of_testing(kind: str, order: str, recompute: bool) -> None:
    tasks = random_tasks(kind)
    learner = proto_maml(2, kind, order=order, gradient_checkpointing=recompute)
    (adapted_answers,) = learner.adaptation_curve(tasks, [2])
    losses = [LOSSES[kind](*pair) for pair in zip(adapted_answers, tasks.query.targets, strict=True)]
    torch.testing.assert_close(learner.meta_loss(tasks).metrics["loss"], torch.stack(losses), rtol=1e-12, atol=0)


@each_order
@pytest.mark.parametrize("inner_steps", [1, 2])
def test_the_head_is_differentiated_through(order: str, inner_steps: int) -> None:
    tasks = random_tasks()
    learner = proto_maml(inner_steps, order=order)
    got, want = gradient(learner, learner.meta_loss(tasks).loss), gradient(learner, unrolled(learner, tasks))
    assert difference(got.values(), want.values()) < 1e-9
    constant = gradient(learner, unrolled(learner, tasks, constant_head=True))
    assert all(difference([constant[name]], [want[name]]) > 0.01 for name in want)


@each_kind
def test_finite_differences(kind: str) -> None:
    tasks = random_tasks(kind)
    learner = proto_maml(2, kind, learned_rates="per_layer_per_step")
    assert_slope(learner, lambda: learner.meta_loss(tasks).loss)


def test_before_adapting_it_is_a_prototypical_network() -> None:
    """Logits are squared distances to class means, times -1 / sqrt(H), up to a number that all classes share."""
    tasks = random_tasks()
    learner = proto_maml(1)
    (curve,) = learner.adaptation_curve(tasks, [0])
    weights = {name: weight.detach() for name, weight in learner.model.named_parameters()}
    for task in range(tasks.tasks):
        support, query = (torch_features(weights, part.inputs[task]) for part in tasks[:2])
        for place, asked in enumerate(query):
            logits = torch.stack(
                [
                    -(asked - support[tasks.support.targets[task] == label].mean(dim=0)).square().sum()
                    / math.sqrt(HIDDEN)
                    for label in range(3)
                ]
            )
            assert logits.std() > 0.01
            torch.testing.assert_close(curve[task, place] - curve[task, place, 0], logits - logits[0])


@pytest.mark.parametrize("ways", [2, 5])
@pytest.mark.parametrize("learned_rates", ["none", "per_parameter_per_step"])
def test_the_task_says_how_many_ways_there_are(learned_rates: str, ways: int) -> None:
    tasks = random_tasks(ways=ways)
    learner = proto_maml(2, learned_rates=learned_rates)
    curve = learner.adaptation_curve(tasks, [0, 1, 3])
    assert curve.shape == (3, 3, ways + 2, ways)
    want = torch.stack(
        [
            torch.stack(
                [predict(adapted(learner, tasks, task, steps), tasks.query.inputs[task]).detach() for task in range(3)]
            )
            for steps in (0, 1, 3)
        ]
    )
    assert difference([curve[0]], [want[0]]) < 1e-12
    assert difference(curve[1:] - curve[0], want[1:] - want[0]) < 1e-9


def test_the_mean_target_stands_in_the_bias() -> None:
    tasks = random_tasks("regression")
    learner = proto_maml(1, "regression")
    (curve,) = learner.adaptation_curve(tasks, [0])
    plain = learner.model(tasks.query.inputs).detach()
    means = torch.stack([targets.sum(dim=0) / len(targets) for targets in tasks.support.targets])
    assert difference(curve - plain, means.unsqueeze(1).expand_as(plain)) < 1e-9


def test_a_labels_rate_is_that_of_every_label() -> None:
    """What is learned must not depend on how many ways a task has."""
    learner = proto_maml(2, learned_rates="per_parameter_per_step")
    assert learner.rates.get_parameter("head_weight").shape == (2, 1, HIDDEN)
    assert learner.rates.get_parameter("head_bias").shape == (2, 1)
    assert learner.model.get_parameter("head_weight").shape == (0, HIDDEN)


@each_kind
@each_order
def test_the_head_alone(kind: str, order: str) -> None:
    """With the head alone adapting, the meta-gradient is that of reading once and training a linear layer."""
    whole = proto_maml(2, kind, order=order)
    learner = MAML(FromPrototypes(HeadOnly(whole.model), kind), kind, 2, RATE, order=order)
    tasks = random_tasks(kind)
    parameters = dict(learner.model.named_parameters())
    got = torch.autograd.grad(learner.meta_loss(tasks).loss, list(parameters.values()), allow_unused=True)

    losses = []
    for task in range(tasks.tasks):
        support, query = (
            learner.model.read(learner.model.prepare(part.inputs[task : task + 1]), learner.model.start(1))[0]
            for part in tasks[:2]
        )
        targets = tasks.support.targets[task]
        if kind == "classification":
            centres = torch.stack([support[targets == label].mean(0) for label in range(3)])
            scale = 1 / math.sqrt(support.shape[1])
            head = [2 * scale * centres, -scale * centres.square().sum(1)]
        else:
            head = [parameters["head_weight"], parameters["head_bias"] + targets.mean(0)]
        for _ in range(2):
            loss = LOSSES[kind](functional.linear(support, *head), targets)
            slopes = torch.autograd.grad(loss, head, create_graph=True)
            if order == "first":
                slopes = [slope.detach() for slope in slopes]
            head = [weight - RATE * slope for weight, slope in zip(head, slopes, strict=True)]
        losses.append(LOSSES[kind](functional.linear(query, *head), tasks.query.targets[task]))
    want = torch.autograd.grad(torch.stack(losses).mean(), list(parameters.values()), allow_unused=True)
    there = [(a, b) for a, b in zip(got, want, strict=True) if b is not None and b.numel()]
    assert len(there) >= 6
    assert difference([a for a, _ in there], [b for _, b in there]) < 1e-10


def test_metric_scale() -> None:
    tasks = random_tasks()
    starts = []
    for scale in (None, math.sqrt(HIDDEN), 1.0):
        adaptable = FromPrototypes(WholeModel(proto_maml(1).model), "classification", scale)
        encoded = adaptable.encode(tasks.support)
        start = adaptable.start(encoded, tasks.support)
        starts.append((start["head_weight"], start["head_bias"]))
    for asis, same, one in zip(*starts, strict=True):
        assert torch.equal(asis, same)
        torch.testing.assert_close(one, asis / math.sqrt(HIDDEN))
