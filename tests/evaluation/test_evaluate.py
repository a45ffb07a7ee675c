"""Meta-evaluation: the interval's formula, and the same tasks and numbers however many are taken at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from metalstm.evaluation import evaluate
from metalstm.evaluation.evaluate import Curve, EvaluationSetup, in_batches, meta_evaluate, task_batch
from metalstm.evaluation.statistics import mean_and_ci95
from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.maml import MAML, Computing
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.examples import TaskBatch
from metalstm.tasks.sampler import TaskSampler, TaskShape, seeded_generator

CPU = torch.device("cpu")
TASKS = 7
SEQUENCES = 3 * (1 + 2)  # in a task


@pytest.fixture(scope="module")
def sampler() -> TaskSampler:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (10, 6, 5, 4), generator=generator, dtype=torch.uint8)
    pool = ClassDataset(images, [f"class {number}" for number in range(10)])
    return TaskSampler(pool, TaskShape(3, 1, 2), 1, 5, "meta_test")


class Recorder:
    """Answers with the right label on the tasks' own query inputs in some tasks, and remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def bytes_in_evaluation(self, tasks: TaskBatch) -> int:
        return 0

    def adaptation_curve(self, tasks: TaskBatch, at: Sequence[int]) -> Tensor:
        self.seen += list(tasks.query.inputs)
        right = torch.nn.functional.one_hot(tasks.query.targets, 3).float()
        wrong = right.roll(1, dims=-1)
        early = torch.where(tasks.query.inputs.mean(dim=(1, 2, 3), keepdim=True).squeeze(-1) > 0.5, right, wrong)
        return torch.stack([early if step == 0 else right for step in at])


def test_tasks_of_one_person_are_one_unit() -> None:
    images = torch.randint(256, (8, 6, 5, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    pool = ClassDataset(images, [f"{who}/{side}" for who in "abcd" for side in ("likes", "dislikes")], together=2)
    several = TaskSampler(pool, TaskShape(2, 1, 2), 1, 0, "meta_test")
    curve = meta_evaluate(Recorder(), several, 12, [0], EvaluationSetup("classification", CPU))
    assert curve.units == [int(several(number).classes[0, 0]) // 2 for number in range(12)]  # type: ignore[index]
    assert curve.point(0).ci95 == pytest.approx(mean_and_ci95(curve.values[0].tolist(), curve.units)[1])
    assert curve.interval(0, "user") == ("user", len(set(curve.units)), curve.point(0).ci95)


def test_one_person_alone_has_tasks_for_units() -> None:
    curve = Curve([0], torch.tensor([[0.0, 1.0, 1.0]]))
    assert curve.interval(0, "patient") == ("task", 3, curve.point(0).ci95)


def test_points_of_a_curve() -> None:
    curve = Curve([0, 2, 5], torch.tensor([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]))
    assert [point.step for point in curve.points()] == [0, 2, 5]
    assert curve.point(2) == (2, 0.5, 0.0)
    assert curve.point(5).ci95 == pytest.approx(12.7062 * math.sqrt(0.5) / math.sqrt(2), rel=1e-4)
    with pytest.raises(ValueError, match="not in list"):
        curve.point(3)


@pytest.mark.parametrize("at_a_time", [1, SEQUENCES, 2 * SEQUENCES + 1, 1000])
def test_the_same_tasks_in_the_same_order(
    at_a_time: int, sampler: TaskSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "SEQUENCES_AT_A_TIME", at_a_time)
    recorder, done = Recorder(), []
    curve = meta_evaluate(recorder, sampler, TASKS, [0, 1], EvaluationSetup("classification", CPU), done.append)
    assert all(torch.equal(seen, sampler(i).query.inputs[0]) for i, seen in enumerate(recorder.seen))
    assert len(recorder.seen) == TASKS
    assert curve.values.shape == (2, TASKS)
    assert curve.values[1].tolist() == [1.0] * TASKS
    assert done[-1] == TASKS
    assert done == sorted(set(done))
    expected = [len(numbers) for numbers in in_batches(sampler.shape, TASKS)]
    assert max(expected) == max(1, min(TASKS, at_a_time // SEQUENCES))


def test_more_tasks_begin_with_the_fewer(sampler: TaskSampler) -> None:
    few, many = Recorder(), Recorder()
    meta_evaluate(few, sampler, 3, [0], EvaluationSetup("classification", CPU))
    meta_evaluate(many, sampler, 6, [0], EvaluationSetup("classification", CPU))
    assert all(torch.equal(one, other) for one, other in zip(few.seen, many.seen, strict=False))


@pytest.mark.parametrize("engine", ["batched", "higher"])
def test_a_learner_does_not_mind_how_many_are_taken_at_a_time(
    engine: str, sampler: TaskSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LSTMModel(ModelShape(4, 3, 6), seeded_generator(1, "start"))
    learner = MAML(WholeModel(model), "classification", 2, 0.5, computing=Computing(engine=engine))
    predictions = []
    for at_a_time in (1, 1000):
        monkeypatch.setattr(evaluate, "SEQUENCES_AT_A_TIME", at_a_time)
        batches = [task_batch(sampler, numbers) for numbers in in_batches(sampler.shape, TASKS)]
        curves = [learner.adaptation_curve(batch, [0, 1, 3]) for batch in batches]
        predictions.append(torch.cat(curves, dim=1))
    one_by_one, together = predictions
    assert (one_by_one[2] - one_by_one[0]).abs().max() > 1e-2
    torch.testing.assert_close(one_by_one, together, rtol=1e-4, atol=1e-6)


def test_nothing_is_learned_from_an_evaluation(sampler: TaskSampler) -> None:
    learner = MAML(
        WholeModel(LSTMModel(ModelShape(4, 3, 6), seeded_generator(1, "start"))),
        "classification",
        2,
        0.5,
        "per_parameter_per_step",
    )
    before = {name: weight.clone() for name, weight in learner.state_dict().items()}
    meta_evaluate(learner, sampler, 3, [0, 2], EvaluationSetup("classification", CPU))
    assert all(torch.equal(weight, before[name]) for name, weight in learner.state_dict().items())
    assert all(parameter.grad is None for parameter in learner.parameters())
