"""The sampler: meta-batch number `step` is a pure function of (seed, split, step)."""

import random

import pytest
import torch

from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.examples import TaskBatch
from metalstm.tasks.sampler import TaskSampler, TaskShape, seeded_generator

POOL = ClassDataset(
    torch.randint(256, (12, 9, 3, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),
    [f"class{number}" for number in range(12)],
)
SHAPE = TaskShape(ways=4, shots=2, queries=3)


def sampler(seed: int = 0, split: str = "meta_train", tasks: int = 3) -> TaskSampler:
    return TaskSampler(POOL, SHAPE, tasks, seed, split)


def same(one: TaskBatch, other: TaskBatch) -> bool:
    return all(
        torch.equal(mine.inputs, yours.inputs) and torch.equal(mine.targets, yours.targets)
        for mine, yours in zip(one[:2], other[:2], strict=True)
    )


def test_shapes() -> None:
    tasks = sampler()(0)
    assert tasks.tasks == 3
    assert tasks.support.inputs.shape == (3, 8, 3, 4)
    assert tasks.query.inputs.shape == (3, 12, 3, 4)
    assert tasks.support.targets.shape == (3, 8)
    assert tasks.query.targets.shape == (3, 12)
    assert tasks.support.inputs.dtype == torch.float32
    assert tasks.support.targets.dtype == torch.int64


@pytest.mark.parametrize("step", [0, 1, 1000, 10**9])
def test_a_step_is_the_same_whenever_it_is_asked_for(step: int) -> None:
    first = sampler()(step)
    torch.manual_seed(step + 1)
    random.seed(step + 1)
    other = sampler()
    for earlier in (5, 3, step, 4):
        other(earlier)
    assert same(first, other(step))
    assert same(first, sampler()(step))


def test_nothing_is_taken_from_the_global_stream() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    sampler()(0)
    sampler().generator(0, "learner")
    assert torch.equal(before, torch.get_rng_state())


def test_seed_split_and_step_each_count() -> None:
    batches = [
        sampler(seed, split)(step)
        for seed in (0, 1, -1)
        for split in ("meta_train", "meta_validation")
        for step in (0, 1, 2)
    ]
    for place, one in enumerate(batches):
        assert not any(same(one, other) for other in batches[:place])


def test_the_tasks_of_a_meta_batch_differ() -> None:
    tasks = sampler(tasks=8)(0)
    assert not any(same(tasks.task(0), tasks.task(other)) for other in range(1, 8))


def test_streams_for_other_purposes_differ() -> None:
    def numbers(purpose: str, step: int) -> list[float]:
        return torch.rand(4, generator=sampler().generator(step, purpose)).tolist()

    assert numbers("learner", 0) == numbers("learner", 0)
    assert len({tuple(numbers(purpose, step)) for purpose in ("learner", "tasks") for step in (0, 1)}) == 4


def test_neighbouring_seeds_have_unrelated_streams() -> None:
    streams = torch.stack([torch.rand(2000, generator=seeded_generator(seed, "tasks")) for seed in range(4)])
    correlation = torch.corrcoef(streams) - torch.eye(4)
    assert correlation.abs().max() < 0.1


def test_names_are_kept_apart() -> None:
    drawn = [
        torch.rand(1, generator=seeded_generator(0, *names)).item()
        for names in (("ab", "c"), ("a", "bc"), ("abc",), ("1",), (1,), ("a", 11), ("a1", 1))
    ]
    assert len(set(drawn)) == len(drawn)


def test_the_stream_of_a_seed_does_not_change() -> None:
    """Another hash would silently change every task of every seed."""
    assert seeded_generator(0, "tasks", "meta_train", 0).initial_seed() % 2**64 == int.from_bytes(
        bytes.fromhex("625c63c78b97948e"), "little"
    )
