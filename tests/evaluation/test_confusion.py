"""`confusion.json`: counts against those of a table worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from metalstm.evaluation.confusion import HARDEST, Confusion
from metalstm.evaluation.evaluate import task_batch
from metalstm.evaluation.gallery import image
from metalstm.evaluation.statistics import mean_and_ci95
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.examples import Examples, TaskBatch
from metalstm.tasks.sampler import TaskSampler, TaskShape


def pool(classes: int, together: int | None = None, names: list[str] | None = None) -> ClassDataset:
    examples = torch.zeros(classes, 4, 2, 1, dtype=torch.uint8)
    return ClassDataset(examples, names or [f"class {number}" for number in range(classes)], together=together)


def tasks(classes: list[list[int]], targets: list[list[int]]) -> TaskBatch:
    inputs = torch.zeros(len(targets), len(targets[0]), 2, 1)
    query = Examples(inputs, torch.tensor(targets))
    return TaskBatch(query, query, torch.tensor(classes))


def said(labels: list[list[int]], ways: int = 2) -> Tensor:
    return functional.one_hot(torch.tensor(labels), ways).float()


def hardest(confusion: Confusion) -> dict[str, Any]:
    return {entry["name"]: entry for entry in confusion.content()["hardest"]}


def test_images_are_shown() -> None:
    examples = torch.arange(2 * 4 * 3 * 3, dtype=torch.uint8).view(2, 4, 3, 3)
    confusion = Confusion(ClassDataset(examples, ["a", "b"]))
    confusion.add(tasks([[0, 1]], [[0, 0, 1, 1]]), said([[0, 1, 1, 1]]))
    of_a, of_b = (image(examples[number, 0]) for number in range(2))
    first, second = confusion.content()["hardest"]
    assert (first["name"], first["image"], second["image"]) == ("a", of_a, of_b)
    assert first["taken_for"] == [{"name": "b", "image": of_b, "count": 1, "of": 2}]
    assert of_a != of_b


def test_counts() -> None:
    confusion = Confusion(pool(3))
    confusion.add(tasks([[0, 1], [2, 0]], [[0, 0, 1, 1], [0, 0, 1, 1]]), said([[0, 1, 1, 1], [1, 1, 1, 1]]))
    confusion.add(tasks([[1, 2]], [[0, 0, 1, 1]]), said([[0, 1, 1, 0]]))
    content = confusion.content()
    assert (content["classes"], content["queries"]) == (3, 12)
    assert [entry["name"] for entry in content["hardest"]] == ["class 2", "class 0", "class 1"]
    found = hardest(confusion)
    assert {name: (entry["queries"], entry["correct"]) for name, entry in found.items()} == {
        "class 0": (4, 3),
        "class 1": (4, 3),
        "class 2": (4, 1),
    }
    assert found["class 2"]["taken_for"] == [
        {"name": "class 0", "count": 2, "of": 2},
        {"name": "class 1", "count": 1, "of": 2},
    ]
    assert found["class 0"]["taken_for"] == [{"name": "class 1", "count": 1, "of": 2}]


def test_parts_are_summed_up() -> None:
    whole, first, second = (Confusion(pool(3)) for _ in range(3))
    for classes, labels, parts in (([0, 1], [0, 1, 1, 1], (first, whole)), ([2, 0], [1, 1, 1, 0], (second, whole))):
        for part in parts:
            part.add(tasks([classes], [[0, 0, 1, 1]]), said([labels]))
    assert first.content() != whole.content()
    first.sum_up([first.counts(), second.counts()])
    assert first.content() == whole.content()


def test_the_interval_over_classes() -> None:
    confusion = Confusion(pool(4))
    confusion.add(tasks([[0, 1], [2, 3]], [[0, 0, 1, 1], [0, 0, 1, 1]]), said([[0, 0, 1, 0], [1, 1, 1, 0]]))
    assert confusion.interval() == ("class", 4, pytest.approx(mean_and_ci95([1.0, 0.5, 0.0, 0.5])[1]))


def test_persons_are_no_classes_to_generalise_over() -> None:
    confusion = Confusion(pool(4, together=2, names=["ann/liked", "ann/disliked", "bob/liked", "bob/disliked"]))
    confusion.add(tasks([[0, 1], [2, 3]], [[0, 1], [0, 1]]), said([[0, 0], [0, 1]]))
    assert confusion.interval() is None


def test_the_hardest_of_many() -> None:
    confusion = Confusion(pool(30))
    for number in range(0, 30, 2):
        wrong = [[1, 1, 1, 1]] if number == 28 else [[0, 0, 1, 1]]
        confusion.add(tasks([[number, number + 1]], [[0, 0, 1, 1]]), said(wrong))
    content = confusion.content()
    assert (content["classes"], len(content["hardest"])) == (30, HARDEST)
    assert content["hardest"][0]["name"] == "class 28"
    for other in (1, 3, 5, 7, 9):
        confusion.add(tasks([[0, other]], [[0, 0, 1, 1]]), said([[1, 1 if other > 1 else 0, 1, 1]]))
    found = hardest(confusion)["class 0"]["taken_for"]
    assert [(other["name"], other["count"]) for other in found] == [("class 3", 2), ("class 5", 2), ("class 7", 2)]


def test_places_of_groups() -> None:
    confusion = Confusion(pool(4, together=2, names=["ann/liked", "ann/disliked", "bob/liked", "bob/disliked"]))
    confusion.add(tasks([[0, 1], [2, 3]], [[0, 1], [0, 1]]), said([[0, 0], [0, 1]]))
    assert hardest(confusion).keys() == {"liked", "disliked"}
    assert hardest(confusion)["disliked"]["taken_for"] == [{"name": "liked", "count": 1, "of": 2}]


def test_batches_know_their_classes() -> None:
    sampler = TaskSampler(pool(9), TaskShape(3, 1, 2), 1, 0, "meta_test")
    batch = task_batch(sampler, range(5))
    assert batch.classes is not None
    for number in range(5):
        assert torch.equal(batch.classes[number], sampler(number).classes[0])  # type: ignore[index]
