"""Broken Omniglots: each is refused with its files named, or is no worse than whole."""

from __future__ import annotations

from typing import Any

import pytest


def test_broken_datasets(fuzzed: Any) -> None:
    fuzzed("dataset_files", 15)


# What fuzzing has found, kept; and what would take another way through the code.
@pytest.mark.parametrize(
    ("zipped", "damage"),
    [
        (False, ("odd", "images_background", 5, "pipe")),
        (True, ("part", "images_evaluation", "pipe")),
        (False, ("part", "images_evaluation", "pipe")),
        *[
            (False, ("image", "images_background", 3, name))
            for name in ("claims 20000x20000", "claims the most", "long text")
        ],
        (True, ("member", "images_background", "a\nb/c/d.png")),
        (True, ("method", "images_evaluation", 2, 14)),
        (True, ("method", "images_evaluation", 2, 99)),
    ],
    ids=lambda part: ascii(part[-1]) if isinstance(part, tuple) else "zip" if part else "folder",
)
def test_found_before(zipped: bool, damage: tuple[Any, ...]) -> None:
    from stress.fuzzing.archives import Data
    from stress.fuzzing.parts import PARTS, play

    parts = {part.name: part for part in PARTS}
    assert play(parts["dataset_files"], Data(zipped, (damage,), ())) == []


def test_whole_data_is_taken() -> None:
    from stress.fuzzing.archives import Data, begin
    from stress.fuzzing.harness import sandbox

    for zipped in (True, False):
        with sandbox() as root:
            assert begin(Data(zipped, (), ()), root).code == 0
        with sandbox() as root:
            assert begin(Data(zipped, (("gone", "images_background", 0),), ()), root).code == 3
