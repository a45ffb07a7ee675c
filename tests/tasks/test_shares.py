"""Shares of a draw are its tasks, however it is shared, and whether examples are distorted or not."""

from __future__ import annotations

import pytest
import torch

from metalstm.datasets.series.sinusoid import load_sinusoid
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.examples import Examples
from metalstm.tasks.sampler import TaskSampler, TaskShape, TaskSource


def pool(augmented: bool) -> ClassDataset:
    images = torch.randint(256, (10, 6, 5, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)

    def noisy(examples: Examples, generator: torch.Generator) -> Examples:
        return examples._replace(inputs=examples.inputs + torch.rand(examples.inputs.shape, generator=generator))

    return ClassDataset(images, [f"class {number}" for number in range(10)], augment=noisy if augmented else None)


SOURCES = [pool(False), pool(True), load_sinusoid("points", 1).splits["meta_train"]]


@pytest.mark.parametrize("source", SOURCES, ids=["examples", "distorted", "functions"])
def test_all_shares_are_the_whole(source: TaskSource) -> None:
    shape = TaskShape(3 if isinstance(source, ClassDataset) else 1, 1, 2)
    whole = TaskSampler(source, shape, 5, 7, "meta_train")(3)
    shares = [TaskSampler(source, shape, 5, 7, "meta_train", own)(3) for own in (slice(0, 2), slice(2, 5))]
    assert [share.tasks for share in shares] == [2, 3]
    for name in ("support", "query"):
        for field in ("inputs", "targets"):
            parts = [getattr(getattr(share, name), field) for share in shares]
            assert torch.equal(torch.cat(parts), getattr(getattr(whole, name), field))
    assert not torch.equal(whole.query.inputs[0], whole.query.inputs[2])
