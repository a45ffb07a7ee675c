"""Splits by a permutation: their sizes, and that nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalstm.datasets.own.folder_splits import SplitSettings, deal
from metalstm.datasets.series import ecg, terrain
from metalstm.datasets.splits import Shares, partition, split_randomly
from metalstm.datasets.text import clinc150, movietweetings


@pytest.mark.parametrize(
    ("shares", "count", "sizes"),
    [
        (terrain.SHARES, 3, [1, 1, 1]),
        (terrain.SHARES, 4, [2, 1, 1]),
        (terrain.SHARES, 5, [3, 1, 1]),
        (terrain.SHARES, 10, [6, 2, 2]),
        (ecg.SHARES, 3, [1, 1, 1]),
        (ecg.SHARES, 7, [4, 1, 2]),
        (ecg.SHARES, 26, [16, 4, 6]),
        (ecg.SHARES, 40, [24, 6, 10]),
        (clinc150.SHARES, 10, [6, 1, 3]),
        (movietweetings.SHARES, 3, [1, 1, 1]),
        (movietweetings.SHARES, 29, [22, 2, 5]),
    ],
)
def test_sizes(shares: Shares, count: int, sizes: list[int]) -> None:
    chosen = split_randomly(range(count), shares, 0, "any")
    assert [len(part) for part in chosen.values()] == sizes
    assert sorted(one for part in chosen.values() for one in part) == [*range(count)]


@pytest.mark.parametrize(
    ("classes", "least", "sizes"), [(6, 5, [2, 2, 2]), (20, 2, [12, 3, 5]), (20, 5, [10, 5, 5]), (10, 5, [4, 3, 3])]
)
def test_sizes_for_a_folder(classes: int, least: int, sizes: list[int]) -> None:
    chosen = deal(Path("anywhere"), [f"{n}" for n in range(classes)], None, SplitSettings(least=least))
    assert [len(names) for names in chosen.values()] == sizes
    assert len({name for names in chosen.values() for name in names}) == classes


def test_shares_of_many_are_exact() -> None:
    """A share times a count is not rounded down below the whole number that it stands for."""
    for count in range(10, 20_000, 10):
        assert clinc150.SHARES.sizes(count) == [count // 10 * 6, count // 10, count // 10 * 3]


def test_each_part_keeps_its_order_and_goes_by_seed_and_purpose() -> None:
    parts = partition(range(50), [20, 30], 0, "a", "split")
    assert all(part == sorted(part) for part in parts)
    others = [partition(range(50), [20, 30], *given) for given in ((1, "a", "split"), (0, "b", "split"), (0, "a"))]
    assert all(other != parts for other in others)
