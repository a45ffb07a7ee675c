"""Any (example, label) pairs as classes: forms of examples, splits, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset as TorchDataset

from metalstm import class_pools, dataset_of
from metalstm.datasets.from_torch import as_sequence
from metalstm.errors import DataError
from metalstm.tasks.sampler import TaskShape, seeded_generator
from support.datasets import pools


class Noise(TorchDataset[tuple[Any, int]]):
    """Classes 0, 1, ...: every example of a class has the class's number in its first place."""

    def __init__(self, classes: int = 25, each: int = 4) -> None:
        self.classes, self.each = classes, each

    def __len__(self) -> int:
        return self.classes * self.each

    def __getitem__(self, number: int) -> tuple[Any, int]:
        if number >= len(self):
            raise IndexError
        generator = torch.Generator().manual_seed(number)
        values = torch.randn(6, 2, generator=generator)
        values[0, 0] = number % self.classes
        return values, number % self.classes


def test_examples_keep_their_class() -> None:
    found = class_pools(Noise())
    assert [len(pool.names) for pool in found.values()] == [16, 4, 5]
    assert sorted(int(name) for pool in found.values() for name in pool.names) == list(range(25))
    for pool in found.values():
        assert pool.examples.shape[1:] == (4, 6, 2)
        for place, name in enumerate(pool.names):
            assert pool.examples[place, :, 0, 0].tolist() == [float(name)] * 4
            want = torch.stack([Noise()[int(name) + 25 * turn][0] for turn in range(4)])
            assert torch.equal(pool.examples[place], want)


def test_the_split_is_of_the_seed_or_as_it_is_given() -> None:
    first, again, other = (class_pools(Noise(), seed=seed) for seed in (0, 0, 1))
    assert first["meta_test"].names == again["meta_test"].names != other["meta_test"].names
    given = class_pools(Noise(), split={"meta_train": [3, 1], "meta_validation": [0], "meta_test": [24]})
    assert [pool.names for pool in given.values()] == [["3", "1"], ["0"], ["24"]]


def test_several_lengths_and_numbers_of_examples() -> None:
    pairs = [
        (torch.full((1 + (turn + label) % 3, 2), float(label)), f"c{label}") for label in range(9) for turn in range(3)
    ]
    found = class_pools([*pairs, (torch.zeros(2, 2), "c0")])
    dataset = dataset_of("mine", found)
    assert (dataset.steps, dataset.features, dataset.images) == (None, 2, False)
    counts = {
        name: 3 if pool.counts is None else int(pool.counts[place])
        for pool in pools(dataset).values()
        for place, name in enumerate(pool.names)
    }
    assert counts == {f"c{label}": 4 if label == 0 else 3 for label in range(9)}
    for pool in found.values():
        assert pool.lengths is not None
        tasks = pool.sample(2, TaskShape(1, 1, 1), seeded_generator(0))
        assert tasks.support.lengths is not None


@pytest.mark.parametrize(
    ("example", "shape", "dtype"),
    [
        ([0.5, 1.5], (2, 1), torch.float32),
        (np.zeros((5, 3)), (5, 3), torch.float32),
        (np.zeros((5, 3), dtype=np.int16), (5, 3), torch.float32),
        ([3, 1, 2], (3, 1), torch.int64),
        (torch.zeros(4, 7, dtype=torch.bool), (4, 7), torch.float32),
        (Image.new("L", (7, 4)), (4, 7), torch.uint8),
        (Image.new("RGB", (7, 4)), (4, 21), torch.uint8),
        (torch.zeros(3, 4, 7), (4, 21), torch.float32),
        (torch.zeros(4, 7, 3), (4, 21), torch.float32),
        (torch.zeros(1, 4, 7), (4, 7), torch.float32),
    ],
)
def test_forms_of_examples(example: Any, shape: tuple[int, int], dtype: torch.dtype) -> None:
    found = as_sequence(example)
    assert (tuple(found.shape), found.dtype) == (shape, dtype)


def test_channels_stand_side_by_side() -> None:
    """A row of an image holds each pixel's colours together, whichever way they are given."""
    image = torch.arange(3 * 4 * 5).reshape(4, 5, 3).float()
    assert torch.equal(as_sequence(image), as_sequence(image.permute(2, 0, 1)))
    assert torch.equal(as_sequence(image)[1, 6:9], image[1, 2])


def test_the_fingerprint_is_of_every_number() -> None:
    pairs = [(torch.zeros(3, 1), label) for label in range(9) for _ in range(2)]
    first = dataset_of("mine", class_pools(pairs))
    changed = [(values.clone(), label) for values, label in pairs]
    changed[-1][0][2, 0] = 1e-6
    other = dataset_of("mine", class_pools(changed))
    assert first.fingerprint == dataset_of("mine", class_pools(pairs)).fingerprint != other.fingerprint
    tokens = dataset_of("mine", class_pools([(torch.tensor([1, 7, label]), label) for label in range(9)]))
    assert tokens.vocabulary == 9


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([], "has 0 classes"),
        ([(torch.zeros(2, 2), 0), (torch.zeros(2, 2), 1)], "has 2 classes"),
        ([("a word", 0)], "example 0 is no sequence"),
        ([(torch.zeros(()), 0)], r"example 0 is no sequence: its shape is \[\]"),
        ([(torch.zeros(2, 0), 0)], r"its shape is \[2, 0\]"),
        ([(torch.full((2, 2), torch.nan), 0)], "not finite"),
        ([(torch.zeros(2, 2), 0), (torch.zeros(2, 3), 1), (torch.zeros(2, 2), 2)], "of several kinds"),
        ([(torch.zeros(1, 2, 2, 2), n) for n in range(9)], "4 more examples"),
    ],
)
def test_refused(pairs: list[Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        class_pools(pairs)


def test_a_split_of_labels_that_are_not_there() -> None:
    with pytest.raises(DataError, match="has the label 99"):
        class_pools(Noise(), split={"meta_train": [0], "meta_validation": [1], "meta_test": [99]})
    with pytest.raises(DataError, match="1 classes are in both meta_train and meta_test"):
        dataset_of("x", class_pools(Noise(), split={"meta_train": [0], "meta_validation": [1], "meta_test": [0]}))
