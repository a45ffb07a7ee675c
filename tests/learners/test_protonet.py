"""Prototypical networks (Snell et al. 2017) on an LSTM's features, query by query and class by class."""

import math

import pytest
import torch
from torch import Tensor

from metalstm.learners.inner_loop.adaptation import read_by_all
from metalstm.learners.protonet import ProtoNet
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.tasks.examples import Examples, TaskBatch
from support.learners import LOSSES, assert_slope, each_kind, features_of, gradient
from support.tensors import difference, randomise

WAYS, STEPS, FEATURES, HIDDEN = 3, 5, 4, 6

pytestmark = pytest.mark.usefixtures("in_float64")


def protonet(kind: str = "classification") -> ProtoNet:
    """A learner in which no weight is equal to another."""
    generator = torch.Generator().manual_seed(7)
    encoder = LSTMModel(ModelShape(FEATURES, 0, hidden_size=HIDDEN), generator)
    randomise(encoder, 1, generator)
    return ProtoNet(encoder, kind, WAYS if kind == "classification" else 2)


def random_tasks(kind: str, ragged: bool = False) -> TaskBatch:
    """3 tasks with 2, 3 and 4 examples of the classes, in an order of each task's own."""
    generator = torch.Generator().manual_seed(11)

    def examples(labels: list[int]) -> Examples:
        inputs = torch.randn(3, len(labels), STEPS, FEATURES, generator=generator)
        assert inputs.unique().numel() == inputs.numel()
        order = torch.rand(3, len(labels), generator=generator).argsort(dim=1)
        targets = torch.tensor(labels)[order]
        if kind == "regression":
            targets = torch.randn(3, len(labels), 2, generator=generator)
        if not ragged:
            return Examples(inputs, targets)
        lengths = torch.randint(1, STEPS + 1, order.shape, generator=generator)
        beyond = torch.arange(STEPS) >= lengths.unsqueeze(-1)
        return Examples(inputs.masked_fill(beyond.unsqueeze(-1), torch.nan), targets, lengths)

    tasks = TaskBatch(examples([0, 0, 1, 1, 1, 2, 2, 2, 2]), examples([0, 1, 2, 2, 1]))
    assert not torch.equal(tasks.support.targets[0], tasks.support.targets[1])
    return tasks


def predict(learner: ProtoNet, support: list[Tensor], targets: Tensor, query: Tensor) -> Tensor:
    """One query's prediction; distances are on the scale of the square root of the features' number."""

    def logit(centre: Tensor) -> Tensor:
        return -sum((left - right) ** 2 for left, right in zip(query, centre, strict=True)) / math.sqrt(HIDDEN)

    if learner.kind == "regression":
        weights = [logit(example).exp() for example in support]
        return sum(weight * target for weight, target in zip(weights, targets, strict=True)) / sum(weights)
    logits = []
    for label in range(WAYS):
        own = [example for example, target in zip(support, targets.tolist(), strict=True) if target == label]
        logits.append(logit(sum(own) / len(own)))
    return torch.stack(logits)


def task_answers(learner: ProtoNet, tasks: TaskBatch, task: int, places: list[int]) -> Tensor:
    """A task's predictions from the support examples at these places."""
    support = features_of(learner.encoder, tasks.support, task)
    targets = tasks.support.targets[task][places]
    queries = features_of(learner.encoder, tasks.query, task)
    return torch.stack([predict(learner, [support[place] for place in places], targets, query) for query in queries])


@each_kind
@pytest.mark.parametrize("ragged", [False, True], ids=["one_length", "ragged"])
def test_equals_loops_over_queries_and_classes(kind: str, ragged: bool) -> None:
    tasks = random_tasks(kind, ragged)
    learner = protonet(kind)
    outcome = learner.meta_loss(tasks)
    losses = []
    for task in range(tasks.tasks):
        predictions = task_answers(learner, tasks, task, list(range(9)))
        losses.append(LOSSES[kind](predictions, tasks.query.targets[task]))
    assert len({round(loss.item(), 9) for loss in losses}) == tasks.tasks
    objective = torch.stack(losses).mean()
    torch.testing.assert_close(outcome.loss, objective, rtol=1e-12, atol=0)
    got, want = gradient(learner, outcome.loss), gradient(learner, objective)
    assert difference(got.values(), want.values()) < 1e-9


@each_kind
def test_what_all_features_have_in_common_is_not_trained(kind: str) -> None:
    """It moves no distance, so that a trained one would only follow rounding noise."""
    tasks = random_tasks(kind)
    learner = protonet(kind)
    assert {name for name, weight in learner.named_parameters() if not weight.requires_grad} == {"encoder.norm_bias"}
    before = learner.meta_loss(tasks).loss
    with torch.no_grad():
        learner.get_parameter("encoder.norm_bias").add_(3.0)
    torch.testing.assert_close(learner.meta_loss(tasks).loss, before, rtol=1e-9, atol=0)


@each_kind
def test_finite_differences(kind: str) -> None:
    tasks = random_tasks(kind)
    learner = protonet(kind)
    assert_slope(learner, lambda: learner.meta_loss(tasks).loss)


@each_kind
def test_a_step_of_the_curve_is_one_more_shot(kind: str) -> None:
    tasks = random_tasks(kind)
    learner = protonet(kind)
    curve = learner.adaptation_curve(tasks, [0, 1, 2])
    assert not curve[0].any()
    for task in range(tasks.tasks):
        for shots in (1, 2):
            places = list(range(shots))
            if kind == "classification":
                labels = tasks.support.targets[task].tolist()
                places = [place for place, label in enumerate(labels) if labels[:place].count(label) < shots]
                assert len(places) == shots * WAYS
            want = task_answers(learner, tasks, task, places).detach()
            assert difference([curve[shots, task]], [want]) < 1e-9


def test_more_shots_than_a_set_holds() -> None:
    tasks = random_tasks("classification")
    more = tasks.support.targets.shape[1] + 1
    with pytest.raises(ValueError, match="shots are to be read"):
        protonet().adaptation_curve(tasks, [more])


def test_a_query_that_is_a_prototype_is_of_its_class() -> None:
    tasks = random_tasks("classification")
    alone = tasks.support.chosen(torch.tensor([labels.tolist().index(label) for labels in tasks.support.targets
                                               for label in range(WAYS)]).view(3, WAYS))  # fmt: skip
    (curve,) = protonet().adaptation_curve(TaskBatch(alone, alone), [1])
    assert curve.argmax(dim=-1).tolist() == [[0, 1, 2]] * 3
    torch.testing.assert_close(curve.diagonal(dim1=1, dim2=2), torch.zeros(3, WAYS))


@each_kind
def test_metric_scale(kind: str) -> None:
    """Logits are proportional to it; not to say one is to say the root of the width."""
    tasks = random_tasks(kind)
    learner = protonet(kind)
    support, query = (read_by_all(learner.encoder, part) for part in tasks[:2])
    asis = learner.logits(query, support)
    learner.metric_scale = math.sqrt(HIDDEN)
    assert torch.equal(learner.logits(query, support), asis)
    losses = []
    for scale in (1.0, 3.0):
        learner.metric_scale = scale
        found = learner.logits(query, support)
        torch.testing.assert_close(found, asis * scale / math.sqrt(HIDDEN))
        losses.append(learner.meta_loss(tasks).loss.item())
    assert abs(losses[0] - losses[1]) > 1e-3
