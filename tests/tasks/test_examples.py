"""Batches of tasks: cut up, put together and moved without a change."""

from __future__ import annotations

import pytest
import torch

from metalstm.tasks.examples import Examples, TaskBatch, joined


def examples(tasks: int, steps: int, ragged: bool, seed: int = 0) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(tasks, 4, steps, 3, generator=generator)
    targets = torch.randint(5, (tasks, 4), generator=generator)
    lengths = torch.randint(1, steps + 1, (tasks, 4), generator=generator) if ragged else None
    return Examples(inputs, targets, lengths)


@pytest.mark.parametrize("ragged", [False, True])
def test_split_and_joined_again(ragged: bool) -> None:
    whole = TaskBatch(examples(5, 6, ragged), examples(5, 7, ragged, seed=1))
    parts = list(whole.split(2))
    assert [part.tasks for part in parts] == [2, 2, 1]
    assert [part.tasks for part in whole.split(None)] == [5]
    for side in ("support", "query"):
        again, want = joined([getattr(part, side) for part in parts]), getattr(whole, side)
        assert torch.equal(again.inputs, want.inputs)
        assert torch.equal(again.targets, want.targets)
        assert again.lengths is None if not ragged else torch.equal(again.lengths, want.lengths)
    assert torch.equal(whole.task(3).query.inputs, whole.query.inputs[3:4])


def test_joined_pads_to_the_longest() -> None:
    short, long = examples(1, 4, ragged=True), examples(2, 6, ragged=False, seed=1)
    both = joined([short, long])
    assert both.inputs.shape == (3, 4, 6, 3)
    assert torch.equal(both.inputs[:1, :, :4], short.inputs)
    assert torch.equal(both.inputs[1:], long.inputs)
    assert torch.equal(both.lengths, torch.cat([short.lengths, torch.full((2, 4), 6)]))


def test_joined_refuses_what_it_cannot_tell_apart() -> None:
    with pytest.raises(ValueError, match="several lengths"):
        joined([examples(1, 4, ragged=False), examples(1, 6, ragged=False)])


def test_lengths_go_where_the_inputs_go() -> None:
    moved = TaskBatch(examples(2, 4, ragged=True), examples(2, 4, ragged=False)).to(torch.device("meta"))
    assert moved.support.lengths.device.type == "meta"
    assert moved.query.lengths is None


@pytest.mark.parametrize("ragged", [False, True])
def test_chosen(ragged: bool) -> None:
    whole = examples(3, 5, ragged)
    which = torch.tensor([[2, 0], [1, 1], [3, 2]])
    some = whole.chosen(which)
    assert some.inputs.shape == (3, 2, 5, 3)
    for task, row in enumerate(which.tolist()):
        for place, number in enumerate(row):
            assert torch.equal(some.inputs[task, place], whole.inputs[task, number])
            assert some.targets[task, place] == whole.targets[task, number]
            assert not ragged or some.lengths[task, place] == whole.lengths[task, number]
    assert (some.lengths is None) is (not ragged)
    assert whole.chosen(which[:, :0]).inputs.shape == (3, 0, 5, 3)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("outputs", [None, 2])
def test_folded(outputs: int | None, ragged: bool) -> None:
    whole = examples(3, 5, ragged)
    if outputs is not None:  # regression
        whole = whole._replace(targets=torch.randn(3, 4, outputs, generator=torch.Generator().manual_seed(1)))
    folded = whole.folded()
    assert folded.inputs.shape == (1, 12, 5, 3)
    assert folded.targets.shape == ((1, 12) if outputs is None else (1, 12, outputs))
    for task in range(3):
        for number in range(4):
            assert torch.equal(folded.inputs[0, 4 * task + number], whole.inputs[task, number])
            assert torch.equal(folded.targets[0, 4 * task + number], whole.targets[task, number])
            assert not ragged or folded.lengths[0, 4 * task + number] == whole.lengths[task, number]
    assert (folded.lengths is None) is (not ragged)


def test_merged() -> None:
    support, query = examples(3, 5, False), examples(3, 5, False, seed=1)
    both = TaskBatch(support, query._replace(inputs=query.inputs[:, :3], targets=query.targets[:, :3])).merged()
    assert both.inputs.shape == (3, 7, 5, 3)
    assert both.lengths is None
    assert torch.equal(both.inputs[:, :4], support.inputs)
    assert torch.equal(both.targets[:, :4], support.targets)
    assert torch.equal(both.inputs[:, 4:], query.inputs[:, :3])
    assert torch.equal(both.targets[:, 4:], query.targets[:, :3])


@pytest.mark.parametrize("steps", [(4, 6), (6, 4), (5, 5)])
@pytest.mark.parametrize("ragged", [(True, True), (True, False), (False, True)])
def test_merged_of_several_lengths(steps: tuple[int, int], ragged: tuple[bool, bool]) -> None:
    parts = [examples(2, steps[seed], ragged[seed], seed=seed) for seed in range(2)]
    both = TaskBatch(*parts).merged()
    assert both.inputs.shape == (2, 8, max(steps), 3)
    for place, part in zip((slice(4), slice(4, None)), parts, strict=True):
        real = part.inputs.shape[2]
        assert torch.equal(both.inputs[:, place, :real], part.inputs)
        assert (both.inputs[:, place, real:] == 0).all()
        assert torch.equal(both.targets[:, place], part.targets)
        lengths = torch.full((2, 4), real) if part.lengths is None else part.lengths
        assert torch.equal(both.lengths[:, place], lengths)
    assert both.lengths.dtype == torch.int64


def test_merged_refuses_what_it_cannot_tell_apart() -> None:
    with pytest.raises(ValueError, match="several lengths"):
        TaskBatch(examples(1, 4, ragged=False), examples(1, 6, ragged=False)).merged()


def test_classes_go_where_their_tasks_go() -> None:
    classes = torch.tensor([[4, 7], [0, 9], [3, 1]])
    whole = TaskBatch(examples(3, 4, False), examples(3, 4, False, seed=1), classes)
    assert whole.to(torch.device("meta")).classes.device.type == "meta"
    assert torch.equal(whole.to(torch.device("cpu")).classes, classes)
    assert torch.equal(whole.of_tasks(slice(1, 3)).classes, classes[1:])
    assert torch.equal(whole.task(1).classes, classes[1:2])
    assert [part.classes.tolist() for part in whole.split(2)] == [[[4, 7], [0, 9]], [[3, 1]]]
    assert [part.classes.tolist() for part in whole.split(None)] == [classes.tolist()]
    without = whole._replace(classes=None)
    assert without.to(torch.device("cpu")).classes is None
    assert [part.classes for part in without.split(2)] == [None, None]
