"""The meta-test that a run ends with: what it picks, on which tasks, and what it hands back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from metalstm.datasets.series.sinusoid import SinusoidFamily
from metalstm.evaluation import baselines, meta_test, results
from metalstm.evaluation.evaluate import EvaluationSetup, meta_evaluate
from metalstm.evaluation.meta_test import Evaluator, Protocol
from metalstm.learners.base import Learner
from metalstm.learners.finetune import FineTune
from metalstm.learners.inner_loop.adaptation import HeadOnly, WholeModel
from metalstm.learners.maml import MAML
from metalstm.learners.protonet import ProtoNet
from metalstm.learners.scratch import Scratch
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.examples import TaskBatch
from metalstm.tasks.sampler import TaskSampler, TaskShape, seeded_generator

SHAPE = ModelShape(4, 2, 3)
CPU = torch.device("cpu")
TUNING = 4  # tasks of meta-validation
PROTOCOL = Protocol(
    tasks=6, steps=2, steps_shown=3, step_unit="step", scratch_inner_steps=2, scratch_tasks=3, scratch_steps=5
)


@pytest.fixture(autouse=True)
def few_tuning_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "TUNING_TASKS", TUNING)


def judge_of(kind: Any, protocol: Protocol = PROTOCOL, between: Callable[[], None] = lambda: None) -> Evaluator:
    source: Any = SinusoidFamily(1)
    if kind == "classification":
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(256, (6, 5, 3, 4), generator=generator, dtype=torch.uint8)
        source = ClassDataset(images, list("abcdef"))
    shape = TaskShape(2 if kind == "classification" else 1, 1, 2)
    validation, test = (TaskSampler(source, shape, 1, 0, split) for split in ("meta_validation", "meta_test"))
    return Evaluator(validation, test, protocol, EvaluationSetup(kind, CPU), between)


class Table(Scratch):
    """Does as well with each rate as a table says, and remembers what it was asked on."""

    def __init__(self, optimizer: Any, good: dict[float | None, float], lr: float | None = None) -> None:
        super().__init__(SHAPE, "classification", optimizer, lr, 0)
        self.good = good
        self.asked: list[tuple[float | None, list[int]]] = []
        self.seen: list[Tensor] = []

    def bytes_in_evaluation(self, tasks: TaskBatch) -> int:
        return 0

    def adaptation_curve(self, tasks: TaskBatch, at: Sequence[int]) -> Tensor:
        self.asked.append((self.lr, list(at)))
        self.seen += list(tasks.query.inputs)
        targets, error = tasks.query.targets, 1 - self.good.get(self.lr, 0.1)
        if targets.dim() == 3:
            return torch.stack([targets + error for _ in at])
        wrong = torch.arange(targets.shape[1]) < round(error * targets.shape[1])
        predictions = functional.one_hot(torch.where(wrong, 1 - targets, targets), 2).float()
        return torch.stack([predictions for _ in at])


def holds(seen: list[Tensor], inputs: Tensor) -> bool:
    return any(torch.equal(one, inputs) for one in seen)


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize(("optimizer", "best"), [("sgd", 0.3), ("adam", 3e-3)])
def test_the_best_rate_is_picked_on_meta_validation(kind: str, optimizer: str, best: float) -> None:
    calls: list[None] = []
    evaluator = judge_of(kind, between=lambda: calls.append(None))
    rates = baselines.RATES[optimizer]
    learner = Table(optimizer, {rates[0]: 0.5, best: 0.9, rates[-1]: 0.75})
    assert evaluator.pick_rate(learner) == best
    assert learner.lr == best
    assert learner.asked == [(lr, [2]) for lr in rates]
    assert len(learner.seen) == TUNING * len(rates)
    for number in range(TUNING):
        assert holds(learner.seen, evaluator.validation(number).query.inputs[0])
        assert not holds(learner.seen, evaluator.test(number).query.inputs[0])
    assert len(calls) == len(rates)


def test_the_rate_that_is_picked_does_best() -> None:
    evaluator = judge_of("regression")
    values = {}
    for lr in baselines.RATES["adam"]:
        learner = Scratch(ModelShape(1, 1, 3), "regression", "adam", lr, 0)
        values[lr] = (
            meta_evaluate(learner, evaluator.validation, TUNING, [2], EvaluationSetup("regression", CPU)).point(2).value
        )
    learner = Scratch(ModelShape(1, 1, 3), "regression", "adam", None, 0)
    assert evaluator.pick_rate(learner) == min(values, key=lambda lr: values[lr])
    assert len(set(values.values())) == len(values)


def fine_tuned(lr: float | None, optimizer: Any = "sgd") -> FineTune:
    model = LSTMModel(ModelShape(4, 6, 3), seeded_generator(0, "start"))
    return FineTune(HeadOnly(model, 2), "classification", 2, optimizer, lr, same_outputs=False)


def test_fine_tuning_has_its_rate_picked_too() -> None:
    learner = fine_tuned(None)
    picked = judge_of("classification").pick_rate(learner)
    assert picked in baselines.RATES["sgd"]
    assert learner.lr == picked


def model() -> LSTMModel:
    return LSTMModel(SHAPE, seeded_generator(0, "start"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Scratch(SHAPE, "classification", "sgd", 0.25, 0),
        lambda: fine_tuned(0.25),
        lambda: MAML(WholeModel(model()), "classification", 2, 0.25),
        lambda: ProtoNet(LSTMModel(SHAPE._replace(outputs=0), seeded_generator(0, "start")), "classification", 2),
    ],
    ids=["scratch", "finetune", "maml", "protonet"],
)
def test_no_rate_is_picked_where_none_is_open(make: Callable[[], Learner], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_test, "best_rate", lambda *given: pytest.fail("a rate was looked for"))
    learner = make()
    assert judge_of("classification").pick_rate(learner) is None
    assert getattr(learner, "lr", 0.25) == 0.25


class Clock:
    """A learner that takes a known time: for each task, and for each step."""

    def __init__(self, for_a_task: float, for_a_step: float) -> None:
        self.now = 0.0
        self.for_a_task = for_a_task
        self.for_a_step = for_a_step
        self.asked: list[tuple[int, list[int]]] = []

    def perf_counter(self) -> float:
        return self.now

    def bytes_in_evaluation(self, tasks: TaskBatch) -> int:
        return 0

    def adaptation_curve(self, tasks: TaskBatch, at: Sequence[int]) -> Tensor:
        self.asked.append((tasks.tasks, list(at)))
        disturbed = 0.0 if len(self.asked) % 3 == 0 else float(len(self.asked))
        self.now += disturbed + self.for_a_task + self.for_a_step * max(at)
        return torch.zeros(len(at), 1, 4, 2)


@pytest.mark.parametrize(
    ("steps", "for_a_step", "found"), [(2, 0.25, 0.25), (5, 0.125, 0.125), (0, 0.5, 0.5), (3, -0.1, 0.0)]
)
def test_seconds_of_a_step(steps: int, for_a_step: float, found: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(1.0, for_a_step)
    monkeypatch.setattr(meta_test, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    evaluator = judge_of("classification", PROTOCOL._replace(steps=steps))
    assert evaluator.seconds_per_step(clock) == pytest.approx(found)
    assert {tasks for tasks, _ in clock.asked} == {1}
    assert [at for _, at in clock.asked] == [[0]] * 3 + [[max(1, steps)]] * 3


@pytest.mark.parametrize("steps", [0, 2])
def test_seconds_of_a_real_step(steps: int) -> None:
    learner = MAML(WholeModel(model()), "classification", 2, 0.1)
    seconds = judge_of("classification", PROTOCOL._replace(steps=steps)).seconds_per_step(learner)
    assert 0 <= seconds < 5


def test_all_that_was_measured() -> None:
    calls: list[None] = []
    evaluator = judge_of("classification", between=lambda: calls.append(None))
    learner = fine_tuned(None)
    tested = evaluator.evaluate(learner, SHAPE, 0)
    assert tested.picked_lr == learner.lr
    assert tested.picked_lr in baselines.RATES["sgd"]
    assert (tested.steps, tested.step_unit) == (2, "step")
    assert tested.seconds_per_step >= 0
    assert tested.curve.at == [0, 1, 2, 3]
    again = meta_evaluate(
        fine_tuned(tested.picked_lr), evaluator.test, 6, range(4), EvaluationSetup("classification", CPU)
    )
    assert torch.equal(tested.curve.values, again.values)  # with the rate that was picked, on meta-test
    assert tested.curve.values.shape == (4, 6)
    assert tested.baselines.keys() == {"scratch", "scratch_many_steps"}
    same, many = tested.baselines.values()
    assert (same.step, same.curve.at, same.curve.values.shape) == (2, [0, 1, 2, 3], (4, 3))
    assert (many.curve.at, many.curve.values.shape) == ([0, 1, 2, 5], (4, 3))
    assert len(calls) >= 1 + 2 * len(baselines.RATES["sgd"]) + len(baselines.RATES["adam"]) + 2


def test_tested_with_the_rate_that_was_picked() -> None:
    evaluator = judge_of("classification", PROTOCOL._replace(scratch_tasks=0))
    learner = Table("sgd", {0.3: 0.75})
    tested = evaluator.evaluate(learner, SHAPE, 0)
    assert tested.picked_lr == 0.3
    assert learner.asked[len(baselines.RATES["sgd"])] == (0.3, [0, 1, 2, 3])
    assert (tested.curve.values == 0.75).all()
    assert torch.equal(learner.seen[-1], evaluator.test(0).query.inputs[0])  # timed


def test_a_learner_that_reads_and_no_baselines() -> None:
    evaluator = judge_of("classification", Protocol(6, 1, 1, "shot", 5, 0, 5))
    learner = ProtoNet(LSTMModel(SHAPE._replace(outputs=0), seeded_generator(0, "start")), "classification", 2)
    tested = evaluator.evaluate(learner, SHAPE, 0)
    assert (tested.curve.at, tested.step_unit, tested.steps) == ([0, 1], "shot", 1)
    assert (tested.picked_lr, tested.baselines) == (None, {})
    assert results.per_task(tested).keys() == {"learner"}


def test_each_tasks_numbers_are_the_curves() -> None:
    tested = judge_of("regression").evaluate(
        Scratch(ModelShape(1, 1, 3), "regression", "sgd", 0.1, 0), ModelShape(1, 1, 3), 0
    )
    content = json.loads(json.dumps(results.per_task(tested)))
    curves = {"learner": tested.curve} | {name: one.curve for name, one in tested.baselines.items()}
    assert content.keys() == curves.keys() == {"learner", "scratch", "scratch_many_steps"}
    for name, curve in curves.items():
        assert content[name]["at"] == curve.at
        assert torch.tensor(content[name]["values"]).shape == curve.values.shape
        torch.testing.assert_close(torch.tensor(content[name]["values"]), curve.values, rtol=1e-6, atol=6e-7)
        means = [sum(row) / len(row) for row in content[name]["values"]]
        assert means == pytest.approx([point.value for point in curve.points()], abs=1e-6)
    assert len({tuple(row) for row in content["learner"]["values"]}) == 4
