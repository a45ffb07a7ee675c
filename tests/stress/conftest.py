"""What the tests of odd input share: a few inputs of each kind, always the same ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def fuzzed() -> Callable[[str, int], None]:
    """`fuzzed(part, count)` plays inputs of a part and fails with the simplest that something is wrong with."""
    from hypothesis import HealthCheck, Phase, given, settings

    from stress.fuzzing.parts import PARTS, play

    def check(name: str, count: int) -> None:
        (part,) = (part for part in PARTS if part.name == name)

        @settings(
            max_examples=count,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(part.inputs)
        def nothing_is_wrong(case: Any) -> None:
            assert play(part, case) == []

        nothing_is_wrong()

    return check
