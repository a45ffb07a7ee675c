"""What every learner promises: one test for all of them, each as its config makes it, for labels and for numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from torch import Tensor

from metalstm import registry
from metalstm.config.parse import train_settings
from metalstm.datasets.base import Dataset
from metalstm.datasets.series.sinusoid import SinusoidFamily
from metalstm.experiment.build_learner import make_learner
from metalstm.learners.base import Learner
from metalstm.learners.memory import Memory
from metalstm.learners.parts import meta_loss as parts_of
from metalstm.learners.scratch import Scratch
from metalstm.runtime.budget import BUDGET
from metalstm.tasks.classes import SPLITS, ClassDataset
from metalstm.tasks.examples import Examples, TaskBatch
from metalstm.tasks.sampler import TaskSampler, TaskShape

WAYS, SHOTS, QUERIES, TASKS = 3, 2, 4, 3
STEPS = 2  # of a curve, and numbers to predict of it
VARIANTS = {
    **{name: [] for name in registry.names("learner")},
    "memory_sequential": ["learner=memory", "learner.support=sequential", "learner.labels=offset"],
    "memory_state": ["learner=memory", "learner.read=state", "learner.passes=2", "learner.layers=2"],
    "finetune_all": ["learner=finetune", "learner.adapts=all", "learner.optimizer=sgd"],
    "maml_mlp": ["learner=maml", "model=mlp", "model.width=6"],
    "lstm_optimizer_mlp": ["learner=lstm_optimizer", "model=mlp", "model.width=6"],
}
# Starts are drawn by a task's place in its batch.
BY_PLACE = {"scratch"}
IN_ORDER = {"memory_sequential"}
# A step depends on the weights alone: on no earlier step, nor on the step's number.
PLAIN_DESCENT = {"meta_sgd", "finetune_all"}
# From the first meta-training step on, the others' heads tell one label from another.
LABELS_ALIKE = {"protonet", "proto_maml", "finetune", "finetune_all"}

Make = Callable[..., Learner]
pytestmark = pytest.mark.usefixtures("in_float64")


def dataset(kind: str) -> Dataset:
    made_of = hashlib.sha256(kind.encode()).hexdigest()
    if kind == "regression":
        family = SinusoidFamily(STEPS)
        return Dataset(
            **{"name": "sinusoid", "fingerprint": made_of, "description": "sines"},
            **{"kind": kind, "splits": dict.fromkeys(SPLITS, family), "steps": STEPS, "features": 1, "outputs": STEPS},
        )
    images = torch.randint(256, (7, 9, 5, 5), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)
    pools = {split: ClassDataset(images, [f"{split}{number}" for number in range(7)]) for split in SPLITS}
    return Dataset(
        **{"name": "glyphs", "fingerprint": made_of, "description": "noise"},
        **{"splits": pools, "steps": 5, "features": 5, "images": True},
    )


@pytest.fixture(params=VARIANTS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["classification", "regression"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def make(name: str, kind: str) -> Make:
    """A function from a seed to the learner, its weights anything but symmetric."""

    def of_seed(seed: int = 0) -> Learner:
        overrides = VARIANTS[name] or [f"learner={name}"]
        task = ["dataset=glyphs", f"ways={WAYS}"] if kind == "classification" else ["dataset=sinusoid", "ways=1"]
        if "model=mlp" not in overrides:
            task.append("model.hidden_size=6")
        if any(steps in overrides[0] for steps in ("finetune", "scratch", "reptile")):
            task.append("learner.inner_steps=4")
        with initialize_config_module("metalstm.configs", version_base="1.3"):
            settings = train_settings(compose("train", [*overrides, *task, f"shots={SHOTS}", f"seed={seed}"]))
        learner = make_learner(settings, dataset(kind))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in learner.parameters():
                weight += 0.1 * torch.randn(weight.shape, generator=generator)
        return learner

    return of_seed


@pytest.fixture
def learner(make: Make) -> Learner:
    return make()


@pytest.fixture
def tasks(kind: str) -> TaskBatch:
    ways = WAYS if kind == "classification" else 1
    sampler = TaskSampler(dataset(kind).splits["meta_test"], TaskShape(ways, SHOTS, QUERIES), TASKS, 0, "meta_test")
    drawn = sampler(1)
    support, query = (part._replace(inputs=part.inputs.double()) for part in drawn[:2])
    return TaskBatch(support, query, drawn.classes)


@pytest.fixture
def at() -> list[int]:
    return [0, 1, 2]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(9)


def trained(learner: Learner) -> dict[str, Tensor]:
    return {name: weight for name, weight in learner.named_parameters() if weight.requires_grad}


def meta_gradient(learner: Learner, tasks: TaskBatch) -> list[Tensor]:
    parameters = list(trained(learner).values())
    if not parameters:
        return []
    return list(torch.autograd.grad(learner.meta_loss(tasks, generator()).loss, parameters, allow_unused=True))


def in_order(tasks: TaskBatch, order: list[int]) -> TaskBatch:
    def examples(of: Examples) -> Examples:
        return Examples(of.inputs[order], of.targets[order])

    classes = None if tasks.classes is None else tasks.classes[order]
    return TaskBatch(examples(tasks.support), examples(tasks.query), classes)


def test_shapes(learner: Learner, tasks: TaskBatch, at: list[int], kind: str) -> None:
    outputs = WAYS if kind == "classification" else STEPS
    curve = learner.adaptation_curve(tasks, at)
    assert curve.shape == (len(at), TASKS, QUERIES * (WAYS if kind == "classification" else 1), outputs)
    assert curve.isfinite().all()
    assert not curve.requires_grad
    outcome = learner.meta_loss(tasks, generator())
    assert outcome.loss.shape == ()
    assert outcome.loss.isfinite()
    if list(learner.parameters()):
        assert set(outcome.metrics) == {"loss", "accuracy" if kind == "classification" else "mse"}
    assert all(values.shape == (TASKS,) for values in outcome.metrics.values())


def test_adapting_changes_predictions(learner: Learner, tasks: TaskBatch, at: list[int]) -> None:
    before, one, two = learner.adaptation_curve(tasks, at)
    assert (one - before).abs().max() > 1e-6
    assert (two - one).abs().max() > 1e-6


def learned(learner: Learner, support: Examples, steps: int, adapted: Any = None) -> Any:
    *_, adapted = learner.adapt(support, steps, adapted)
    return adapted


@torch.no_grad()
def test_going_on_from_what_is_known(learner: Learner, tasks: TaskBatch) -> None:
    query = learner.encode(tasks.query)
    other = tasks.support._replace(inputs=tasks.support.inputs.flip(3) - 0.5)
    first = learned(learner, tasks.support, STEPS)
    before = learner.predict(first, query)
    second = learner.predict(learned(learner, other, STEPS, first), query)
    assert not torch.allclose(second, before)
    assert not torch.allclose(second, learner.predict(learned(learner, other, STEPS), query))
    assert torch.equal(learner.predict(first, query), before)  # what was known is left as it was


@torch.no_grad()
def test_steps_one_by_one_are_steps_at_once(learner: Learner, tasks: TaskBatch, name: str) -> None:
    if name not in PLAIN_DESCENT:
        return
    one = learned(learner, tasks.support, 1)
    two = learner.predict(learned(learner, tasks.support, 1, one), learner.encode(tasks.query))
    torch.testing.assert_close(two, learner.adaptation_curve(tasks, [2])[0])


def test_the_same_again(make: Make, tasks: TaskBatch, at: list[int]) -> None:
    one, other = make(), make()
    torch.manual_seed(5)
    assert torch.equal(one.adaptation_curve(tasks, at), other.adaptation_curve(tasks, at))
    first, again, afresh = meta_gradient(one, tasks), meta_gradient(one, tasks), meta_gradient(other, tasks)
    for left, right, third in zip(first, again, afresh, strict=True):
        assert (left is None) == (right is None) == (third is None)
        assert left is None or (torch.equal(left, right) and torch.equal(left, third))


def test_adapting_leaves_the_learner_as_it_was(learner: Learner, tasks: TaskBatch, at: list[int]) -> None:
    before = {key: value.clone() for key, value in learner.state_dict().items()}
    learner.adaptation_curve(tasks, at)
    learner.meta_loss(tasks, generator())
    assert all(torch.equal(value, before[key]) for key, value in learner.state_dict().items())
    assert all(parameter.grad is None for parameter in learner.parameters())


def test_state_goes_into_a_dict_and_back(make: Make, tasks: TaskBatch, at: list[int], name: str) -> None:
    trained, other = make(0), make(1)
    if name not in BY_PLACE:
        assert not torch.allclose(trained.adaptation_curve(tasks, at), other.adaptation_curve(tasks, at))
    other.load_state_dict(trained.state_dict())
    if name not in BY_PLACE:
        assert torch.equal(trained.adaptation_curve(tasks, at), other.adaptation_curve(tasks, at))


def test_order_of_tasks(learner: Learner, tasks: TaskBatch, at: list[int], name: str) -> None:
    if name in BY_PLACE:
        return
    order = [2, 0, 1]
    curve, moved = learner.adaptation_curve(tasks, at), learner.adaptation_curve(in_order(tasks, order), at)
    torch.testing.assert_close(moved, curve[:, order])
    assert not torch.allclose(moved, curve)


def test_a_task_by_itself(learner: Learner, tasks: TaskBatch, at: list[int], name: str) -> None:
    curve = learner.adaptation_curve(tasks, at)
    for task in range(1 if name in BY_PLACE else TASKS):
        torch.testing.assert_close(learner.adaptation_curve(tasks.task(task), at), curve[:, task : task + 1])


def test_queries_do_not_see_each_other_nor_their_targets(learner: Learner, tasks: TaskBatch, at: list[int]) -> None:
    few = [1, 3]
    targets = torch.zeros_like(tasks.query.targets)
    fewer = Examples(tasks.query.inputs[:, few], targets[:, few])
    curve = learner.adaptation_curve(tasks, at)
    torch.testing.assert_close(learner.adaptation_curve(tasks._replace(query=fewer), at), curve[:, :, few])


def test_order_of_the_support_set(learner: Learner, tasks: TaskBatch, name: str) -> None:
    order = torch.arange(tasks.support.targets.shape[1]).flip(0)
    moved = Examples(tasks.support.inputs[:, order], tasks.support.targets[:, order])
    curve = learner.adaptation_curve(tasks, [2])
    other = learner.adaptation_curve(tasks._replace(support=moved), [2])
    if name in IN_ORDER:
        assert not torch.allclose(other, curve)
    else:
        torch.testing.assert_close(other, curve)


def test_names_of_classes(learner: Learner, tasks: TaskBatch, at: list[int], kind: str, name: str) -> None:
    """Where no label is special, other labels for the same classes move the answers with them."""
    if kind == "regression" or name not in LABELS_ALIKE:
        return
    label = torch.tensor([2, 0, 1])  # of what was class 0, 1, 2
    moved = TaskBatch(*(Examples(part.inputs, label[part.targets]) for part in tasks[:2]), tasks.classes)
    curve, other = learner.adaptation_curve(tasks, at), learner.adaptation_curve(moved, at)
    torch.testing.assert_close(other[..., label], curve)


def test_every_meta_parameter_is_trained(learner: Learner, tasks: TaskBatch) -> None:
    found = dict(zip(trained(learner), meta_gradient(learner, tasks), strict=True))
    sizes = {key: weight.numel() for key, weight in learner.named_parameters()}
    idle = [key for key, gradient in found.items() if sizes[key] > 0 and (gradient is None or not gradient.any())]
    assert idle == []


def test_meta_training_lowers_the_loss(learner: Learner, tasks: TaskBatch) -> None:
    parameters = list(learner.parameters())
    if not parameters:
        assert isinstance(learner, Scratch)
        return
    adam = torch.optim.Adam(parameters, lr=0.01)
    losses = []
    for _ in range(40):
        adam.zero_grad()
        outcome = learner.meta_loss(tasks, generator())
        outcome.loss.backward()
        adam.step()
        losses.append(outcome.loss.item())
    assert min(losses[-5:]) < 0.9 * losses[0]


def test_more_shots_than_there_are(learner: Learner, tasks: TaskBatch) -> None:
    if isinstance(learner, Memory):
        with pytest.raises(ValueError, match="3 shots are to be read"):
            learner.adaptation_curve(tasks, [3])


def test_a_meta_gradient_within_the_least_budget(
    name: str, learner: Learner, tasks: TaskBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learner.meta_loss(tasks)
    monkeypatch.setattr(BUDGET, "limit", learner.bytes_in_training(tasks, least=True))
    parts = parts_of(learner, tasks)
    torch.testing.assert_close(parts.loss, whole.loss)
    assert {key: len(value) for key, value in parts.metrics.items()} == dict.fromkeys(whole.metrics, TASKS)
    if parameters := list(trained(learner).values()):
        monkeypatch.setattr(BUDGET, "limit", None)
        want = torch.autograd.grad(learner.meta_loss(tasks).loss, parameters, allow_unused=True)
        got = torch.autograd.grad(parts.loss, parameters, allow_unused=True)
        for one, other in zip(got, want, strict=True):
            torch.testing.assert_close(one, torch.zeros_like(one) if other is None else other)


def test_a_curve_within_any_budget(
    learner: Learner, tasks: TaskBatch, at: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learner.adaptation_curve(tasks, at)
    monkeypatch.setattr(BUDGET, "limit", 1)
    torch.testing.assert_close(learner.adaptation_curve(tasks, at), whole)
    assert (whole[-1] - whole[0]).abs().max() > 0
