"""How far reading has come: shown, and closed whatever becomes of the reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metalstm.datasets.own.folder import load_folder
from metalstm.runtime import progress
from metalstm.runtime.progress import counted


class Screen:
    """Remembers what it was shown."""

    def __init__(self, what: str, total: int, every: int | None) -> None:
        self.seen: list[object] = [what, total]
        SCREENS.append(self.seen)

    def __enter__(self) -> Screen:
        return self

    def advance(self, done: int) -> None:
        self.seen.append(done)

    def __exit__(self, *_: object) -> None:
        self.seen.append("closed")


SCREENS: list[list[object]] = []


@pytest.fixture(autouse=True)
def screens(monkeypatch: pytest.MonkeyPatch) -> None:
    SCREENS.clear()
    monkeypatch.setattr(progress, "Progress", Screen)


def test_shown_as_items_are_taken() -> None:
    assert list(counted("abc", "reading", 3)) == ["a", "b", "c"]
    assert SCREENS == [["reading", 3, 1, 2, 3, "closed"]]


def test_closed_whatever_happens() -> None:
    items = counted("abc", "reading", 3)
    next(items)
    with pytest.raises(KeyboardInterrupt):
        items.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
    assert SCREENS == [["reading", 3, "closed"]]


def test_the_files_of_a_folder_are_counted(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"class {number // 2}").mkdir(exist_ok=True)
        np.savetxt(tmp_path / f"class {number // 2}" / f"{number}.csv", np.full((2, 2), number), delimiter=",")
    load_folder(tmp_path)
    assert [["reading tables", 12, *range(1, 13), "closed"]] == SCREENS
