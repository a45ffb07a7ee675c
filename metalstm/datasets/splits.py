"""The one home of splits by a permutation: whole classes, or patients, users, domains, are dealt out at random."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import torch

from metalstm.tasks.classes import SPLITS
from metalstm.tasks.sampler import seeded_generator

Member = TypeVar("Member")


class Shares(NamedTuple):
    """The shares of meta-validation and meta-test; meta-train has the rest."""

    validation: float
    test: float
    least: int = 1  # members of either, whatever their share comes to
    rounding: Callable[[float], int] = math.floor

    def sizes(self, count: int) -> list[int]:
        """Return the sizes of meta-train, meta-validation and meta-test."""
        validation, test = (max(self.least, self.rounding(share * count)) for share in (self.validation, self.test))
        return [count - validation - test, validation, test]


def partition(members: Sequence[Member], sizes: Sequence[int], seed: int, *purpose: str) -> list[list[Member]]:
    """Deal out members by a permutation; each part keeps their order.

    Args:
        members: N of them.
        sizes: of the parts; they add up to N.
        seed: which permutation, together with its purpose.
        purpose: names that seed the generator too, such as a dataset's.
    """
    order = torch.randperm(len(members), generator=seeded_generator(seed, *purpose))
    return [[members[i] for i in sorted(part.tolist())] for part in order.split(list(sizes))]


def split_randomly(members: Sequence[Member], shares: Shares, seed: int, dataset: str) -> dict[str, list[Member]]:
    """Return the members of each split, in order, dealt out by the permutation of a dataset and a seed."""
    return dict(zip(SPLITS, partition(members, shares.sizes(len(members)), seed, dataset, "split"), strict=True))
