"""The lifelong protocol, with learners of which it is known what they know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from metalstm.evaluation.evaluate import EvaluationSetup
from metalstm.evaluation.lifelong import Lifelong, run_stream, run_stream_once
from metalstm.evaluation.meta_test import Evaluator, Protocol
from metalstm.learners.base import Learner, MetaLoss
from metalstm.learners.protonet import ProtoNet
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.reporting.lifelong import draw_lifelong, summary
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.examples import Examples, TaskBatch
from metalstm.tasks.sampler import TaskSampler, TaskShape
from metalstm.tasks.streams import Streams

TASKS = 4


class Notebook(Learner):
    """Knows the classes that it has read of, but for the first ones where it has room for `room` only.

    A class is known by the number that all its examples are. Of others it says label 1, right half of the time.
    """

    def __init__(self, room: int = 99) -> None:
        super().__init__()
        self.room = room
        self.steps: list[int] = []

    def meta_loss(self, tasks: TaskBatch, generator: torch.Generator | None = None, progress: float = 1.0) -> MetaLoss:
        raise NotImplementedError

    def adapt(self, support: Examples, steps: int, adapted: Any = None) -> Iterator[Any]:
        self.steps.append(steps)
        notes = {} if adapted is None else dict(adapted)
        yield notes
        read = zip(support.inputs[0, :, 0, 0].tolist(), support.targets[0].tolist(), strict=True)
        if steps:
            yield dict(list((notes | dict(read)).items())[-self.room :])

    def predict(self, adapted: Any, query: Examples) -> Tensor:
        labels = [[adapted.get(number, 1) for number in query.inputs[0, :, 0, 0].tolist()]]
        return functional.one_hot(torch.tensor(labels), 2).float()


def stream() -> list[TaskBatch]:
    """Two classes a task, each with one example to learn from and two to answer."""

    def examples(task: int, each: int) -> Examples:
        labels = torch.arange(2).repeat_interleave(each)
        return Examples((2.0 * task + labels).view(1, -1, 1, 1), labels.unsqueeze(0))

    return [TaskBatch(examples(task, 1), examples(task, 2)) for task in range(TASKS)]


def known_after(what: Any) -> Tensor:
    """1 where a task is known after so many, else a half."""
    rows = [[1.0 if what(after, task) else 0.5 for task in range(TASKS)] for after in range(TASKS + 1)]
    return torch.tensor(rows)


@pytest.mark.parametrize(
    ("mode", "room", "what"),
    [
        ("carry", 99, lambda after, task: task < after),
        ("carry", 4, lambda after, task: after - 2 <= task < after),
        ("replay", 99, lambda after, task: task < after),
        ("replay", 4, lambda after, task: after - 2 <= task < after),
        ("reset", 99, lambda after, task: task == after - 1),
    ],
)
def test_what_is_known_after_each_task(mode: str, room: int, what: Any) -> None:
    found = run_stream_once(Notebook(room), stream(), mode, 1, False, "classification")
    assert torch.equal(found, known_after(what))


@pytest.mark.parametrize(
    ("mode", "steps"), [("carry", [3, 3, 3, 3]), ("reset", [3, 3, 3, 3]), ("replay", [3, 6, 9, 12])]
)
def test_a_learner_that_reads_is_shown_all_that_there_is(mode: str, steps: list[int]) -> None:
    learner = Notebook()
    run_stream_once(learner, stream(), mode, 3, True, "classification")
    assert learner.steps == [0, *steps]
    learner = Notebook()
    run_stream_once(learner, stream(), mode, 3, False, "classification")
    assert learner.steps == [0, 3, 3, 3, 3]


def test_transfer_by_hand() -> None:
    values = torch.tensor([[0.2, 0.2, 0.3], [0.9, 0.4, 0.3], [0.7, 0.8, 0.6], [0.5, 0.6, 1.0]])
    lived = Lifelong(torch.stack([values, values + 0.1], dim=-1))
    entry = lived.entry()
    assert entry["final"]["value"] == pytest.approx(0.7 + 0.05)
    assert entry["learned"]["value"] == pytest.approx(0.9 + 0.05)
    assert entry["backward_transfer"]["value"] == pytest.approx(((0.5 - 0.9) + (0.6 - 0.8)) / 2)
    assert entry["forward_transfer"]["value"] == pytest.approx(((0.4 - 0.2) + (0.6 - 0.3)) / 2)
    assert entry["backward_transfer"]["ci95"] == pytest.approx(0, abs=1e-6)
    assert entry["final"]["ci95"] > 0.05
    assert entry["matrix"][3] == pytest.approx([0.55, 0.65, 1.05])


@pytest.fixture
def evaluator() -> Evaluator:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (6, 5, 3, 4), generator=generator, dtype=torch.uint8)
    sampler = TaskSampler(ClassDataset(images, list("abcdef")), TaskShape(2, 1, 3), 1, 0, "meta_test")
    protocol = Protocol(6, 1, 1, "shot", 2, 0, 5)
    return Evaluator(sampler, sampler, protocol, EvaluationSetup("classification", torch.device("cpu")), lambda: None)


def test_prototypes_carried_on_are_those_of_all_support_sets(evaluator: Evaluator) -> None:
    learner = ProtoNet(LSTMModel(ModelShape(4, 0, 5), torch.Generator().manual_seed(1)), "classification", 2)
    streams = Streams(evaluator.test.source, evaluator.test.shape, 3, None, 0, "meta_test")
    done: list[int] = []
    carried, replayed, reset = (
        run_stream(learner, streams, 4, mode, evaluator, done.append) for mode in ("carry", "replay", "reset")
    )
    assert carried.values.shape == (4, 3, 4)
    assert torch.equal(carried.values, replayed.values)
    assert not torch.equal(carried.values, reset.values)
    assert done == [1, 2, 3, 4] * 3


@pytest.mark.parametrize("metric", ["accuracy", "mse"])
def test_words_and_figure(metric: str, tmp_path: Path) -> None:
    values = torch.linspace(0.1, 0.9, 12).view(4, 3, 1) + torch.tensor([0.0, 0.05])
    result = {
        **{"dataset": "omniglot", "learner": "maml", "ways": 5, "shots": 1, "split": "meta_test", "metric": metric},
        **{"streams": 2, "tasks": 3, "steps": 5, "step_unit": "step"},
        "modes": {mode: Lifelong(values).entry() for mode in ("carry", "reset", "replay")},
    }
    text = summary(result)
    assert "2 streams of 3 meta-test tasks of omniglot" in text
    assert len(text.splitlines()) == 5
    assert ("85.2" in text) == (metric == "accuracy")
    assert draw_lifelong(result, tmp_path / "figures" / "lifelong.png") is True
    assert (tmp_path / "figures" / "lifelong.png").stat().st_size > 10_000
