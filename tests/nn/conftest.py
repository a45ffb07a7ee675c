"""What the tests of the layers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from metalstm.nn.kernel.compiled import fused_sweeps


@pytest.fixture
def choose_sweeps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A function that sets (or, with None, unsets) environment variables and makes the sweeps be chosen anew."""

    def choose(**environment: str | None) -> None:
        for name, value in environment.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        fused_sweeps.cache_clear()

    yield choose
    fused_sweeps.cache_clear()
