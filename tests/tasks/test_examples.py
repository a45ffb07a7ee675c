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
