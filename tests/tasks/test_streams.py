"""Streams of tasks: group by group, no class twice, each stream the same whenever it is asked for."""

from __future__ import annotations

import pytest
import torch

from metalstm.datasets.series.sinusoid import SinusoidFamily
from metalstm.errors import ConfigError
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.sampler import TaskShape
from metalstm.tasks.streams import Streams

SHAPE = TaskShape(ways=2, shots=1, queries=2)
SIZES = {"greek": 5, "latin": 1, "runes": 4, "thai": 2}  # 2 + 0 + 2 + 1 tasks of two classes


def pool(names: list[str], together: int | None = None) -> ClassDataset:
    """Every example of a class is a number of its own: that of the class, times 8, and its own."""
    examples = 8 * torch.arange(len(names)).view(-1, 1, 1, 1) + torch.arange(3).view(1, -1, 1, 1)
    return ClassDataset(examples.float(), names, together=together)


def alphabets() -> ClassDataset:
    return pool([f"{alphabet}/{letter}" for alphabet, count in SIZES.items() for letter in range(count)])


def streams(source: object, tasks: int = 9, per_group: int | None = None) -> Streams:
    return Streams(source, SHAPE, tasks, per_group, seed=0, split="meta_test")  # type: ignore[arg-type]


def groups_met(found: Streams, source: ClassDataset, number: int) -> list[str]:
    """The group of each task; every class of a task must be of it."""
    met = []
    for task in found(number):
        (group,) = {source.names[chosen].split("/")[0] for chosen in task.classes[0].tolist()}
        met.append(group)
    return met


def test_group_by_group_and_no_class_twice() -> None:
    source = alphabets()
    found = streams(source)
    orders = set()
    for number in range(6):
        met = groups_met(found, source, number)
        assert sorted(met) == ["greek", "greek", "runes", "runes", "thai"]
        assert len([at for at in range(1, 5) if met[at] != met[at - 1]]) == 2  # one after another
        chosen = torch.cat([task.classes[0] for task in found(number)]).tolist()
        assert len(set(chosen)) == len(chosen) == 10
        orders.add((*met, *chosen))
    assert len(orders) == 6


def test_a_task_is_of_the_classes_that_it_says() -> None:
    for task in streams(alphabets())(0):
        for part in (task.support, task.query):
            of_class = part.inputs[0, :, 0, 0].long() // 8
            assert torch.equal(of_class, task.classes[0][part.targets[0]])
        assert not set(task.support.inputs.flatten().tolist()) & set(task.query.inputs.flatten().tolist())


def test_a_stream_is_the_same_again() -> None:
    first, again = streams(alphabets())(3), streams(alphabets())(3)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.support.inputs, other.support.inputs)
        assert torch.equal(one.query.inputs, other.query.inputs)


@pytest.mark.parametrize(("tasks", "per_group", "length"), [(9, None, 5), (4, None, 4), (9, 1, 3), (2, 1, 2)])
def test_length(tasks: int, per_group: int | None, length: int) -> None:
    source = alphabets()
    found = streams(source, tasks, per_group)
    assert found.tasks == length
    for number in range(4):
        met = groups_met(found, source, number)
        assert len(met) == length
        if per_group is not None:
            assert max(met.count(group) for group in met) == per_group


def test_names_without_groups_are_one() -> None:
    assert streams(pool(list("abcdefg"))).tasks == 3


def test_classes_that_belong_together_stay_in_their_places() -> None:
    source = pool([f"{user}/{side}" for user in "abc" for side in ("not", "liked")], together=2)
    chosen = [task.classes[0].tolist() for task in streams(source)(0)]
    assert sorted(chosen) == [[0, 1], [2, 3], [4, 5]]


def test_functions_are_new_ones() -> None:
    found = Streams(SinusoidFamily(1), TaskShape(1, 4, 3), 5, None, seed=0, split="meta_test")(0)
    assert len(found) == 5
    assert len({float(task.support.targets[0, 0, 0]) for task in found}) == 5


def test_too_few_classes() -> None:
    with pytest.raises(ConfigError, match="needs two tasks, but the classes of meta_test suffice for 1"):
        streams(pool(["a/1", "a/2", "b/1"]))
