"""The LSTM from scratch gets the rate and the length that do best on meta-validation, and is judged on meta-test."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from metalstm.evaluation import baselines
from metalstm.evaluation.baselines import best_rate, evaluator, one_two_five, scratch_many_steps, scratch_same_steps
from metalstm.evaluation.evaluate import Curve, EvaluationSetup
from metalstm.evaluation.meta_test import Evaluator, Protocol
from metalstm.learners.objective import is_better
from metalstm.learners.scratch import Scratch
from metalstm.nn.lstm import ModelShape
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.sampler import TaskSampler, TaskShape

SHAPE = ModelShape(4, 2, 3)
CPU = torch.device("cpu")


class Table:
    """An evaluation that answers from a table of (optimizer, rate) to values after each number of steps."""

    def __init__(self, values: dict[float, dict[int, float]]) -> None:
        self.values = values
        self.asked: list[tuple[str, str, float, list[int]]] = []

    def __call__(self, split: str, scratch: Scratch, at: Sequence[int]) -> Curve:
        self.asked.append((split, scratch.optimizer, scratch.lr, list(at)))
        row = self.values.get(scratch.lr, {})
        return Curve(list(at), torch.tensor([[row.get(step, 0.2)] * 2 for step in at]))


def scratch(lr: float) -> Scratch:
    return Scratch(SHAPE, "classification", "sgd", lr, 0)


def test_one_two_five() -> None:
    assert one_two_five(1) == [0, 1]
    assert one_two_five(2) == [0, 1, 2]
    assert one_two_five(3) == [0, 1, 2, 3]
    assert one_two_five(10) == [0, 1, 2, 5, 10]
    assert one_two_five(100) == [0, 1, 2, 5, 10, 20, 50, 100]
    assert one_two_five(60) == [0, 1, 2, 5, 10, 20, 50, 60]


@pytest.mark.parametrize(
    ("kind", "value", "than", "better"),
    [
        ("classification", 0.6, 0.5, True),
        ("classification", 0.5, 0.5, False),
        ("classification", 0.4, 0.5, False),
        ("regression", 0.6, 0.5, False),
        ("regression", 0.4, 0.5, True),
        ("regression", 0.5, math.nan, True),
        ("classification", 0.0, math.nan, True),
        ("classification", math.nan, 0.0, False),
        ("regression", math.nan, 9.0, False),
        ("regression", math.nan, math.nan, False),
    ],
)
def test_better(kind: str, value: float, than: float, better: bool) -> None:
    assert is_better(kind, value, than) is better  # type: ignore[arg-type]


@pytest.mark.parametrize("first", [0.3, math.nan])
def test_the_best_rate_and_step_are_picked(first: float) -> None:
    accuracy = Table({0.1: {5: first}, 0.2: {2: 0.9, 5: 0.5}, 0.3: {2: 0.8, 5: math.nan}})
    assert best_rate("", (0.1, 0.2, 0.3), scratch, "classification", [2, 5], accuracy) == (0.2, 2)
    error = Table({0.1: {5: first}, 0.2: {2: 0.9, 5: 0.5}, 0.3: {2: 0.8, 5: 0.1}})
    assert best_rate("", (0.1, 0.2, 0.3), scratch, "regression", [5], error) == (0.3, 5)
    assert {split for split, *_ in accuracy.asked + error.asked} == {"meta_validation"}


def test_every_rate_diverges() -> None:
    table = Table({0.1: {1: math.nan}, 0.2: {1: math.nan}})
    assert best_rate("", (0.1, 0.2), scratch, "classification", [1], table) == (0.1, 1)


def test_as_many_steps_as_the_learner() -> None:
    table = Table({0.3: {3: 0.7}})
    baseline = scratch_same_steps(SHAPE, "classification", 0, 3, 6, table)
    assert (baseline.step, baseline.optimizer, baseline.lr) == (3, "sgd", 0.3)
    assert baseline.curve.at == [0, 1, 2, 3, 4, 5, 6]
    assert [(split, at) for split, _, _, at in table.asked] == [
        *[("meta_validation", [3])] * len(baselines.RATES["sgd"]),
        ("meta_test", [0, 1, 2, 3, 4, 5, 6]),
    ]
    assert [lr for _, _, lr, _ in table.asked] == [*baselines.RATES["sgd"], 0.3]


def test_as_many_steps_as_do_it_good() -> None:
    table = Table({1e-2: {5: 0.7}})
    baseline = scratch_many_steps(SHAPE, "classification", 0, 20, table)
    assert (baseline.step, baseline.optimizer, baseline.lr) == (5, "adam", 1e-2)
    assert baseline.curve.at == [0, 1, 2, 5, 10, 20]
    assert table.asked[-1][0] == "meta_test"


@pytest.fixture
def samplers() -> dict[str, TaskSampler]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (6, 5, 3, 4), generator=generator, dtype=torch.uint8)
    pool = ClassDataset(images, list("abcdef"))
    return {split: TaskSampler(pool, TaskShape(2, 1, 2), 1, 0, split) for split in ("meta_validation", "meta_test")}


def test_tuned_and_judged_on_the_tasks_it_should_be(
    samplers: dict[str, TaskSampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "TUNING_TASKS", 4)
    calls: list[None] = []
    evaluate = evaluator(*samplers.values(), 3, EvaluationSetup("classification", CPU), lambda: calls.append(None))
    learner = scratch(0.5)
    assert evaluate("meta_validation", learner, [1]).values.shape == (1, 4)
    assert evaluate("meta_test", learner, [0, 1]).values.shape == (2, 3)
    assert len(calls) == 2
    again = evaluate("meta_test", learner, [0, 1]).values
    assert torch.equal(again, evaluate("meta_test", learner, [0, 1]).values)


def test_none_are_made_where_none_are_wanted(samplers: dict[str, TaskSampler]) -> None:
    def made(scratch_tasks: int) -> list[str]:
        protocol = Protocol(4, 1, 2, "step", 1, scratch_tasks, 2)
        evaluator = Evaluator(*samplers.values(), protocol, EvaluationSetup("classification", CPU), lambda: None)
        compared = evaluator.baselines(SHAPE, 0)
        assert all(baseline.curve.values.shape[1] == scratch_tasks for baseline in compared.values())
        return list(compared)

    assert made(0) == []
    assert made(2) == ["scratch", "scratch_many_steps"]
