"""How far reading has come: shown where somebody wants to see it, and whatever becomes of the reading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metalstm.datasets.own.folder import load_folder
from metalstm.runtime.progress import counted, shown_by


class Screen:
    """Remembers what it was shown."""

    def __init__(self, what: str, total: int) -> None:
        self.seen: list[object] = [what, total]
        SCREENS.append(self.seen)

    def advance(self, done: int) -> None:
        self.seen.append(done)

    def close(self) -> None:
        self.seen.append("closed")


SCREENS: list[list[object]] = []


def test_nothing_is_shown_unless_it_is_asked_for() -> None:
    SCREENS.clear()
    assert list(counted("abc", "reading", 3)) == ["a", "b", "c"]
    with shown_by(Screen):
        assert list(counted("abc", "reading", 3)) == ["a", "b", "c"]
    assert list(counted("abc", "reading", 3)) == ["a", "b", "c"]
    assert SCREENS == [["reading", 3, 1, 2, 3, "closed"]]


def test_closed_whatever_happens() -> None:
    SCREENS.clear()
    with shown_by(Screen):
        items = counted("abc", "reading", 3)
        next(items)
        with pytest.raises(KeyboardInterrupt):
            items.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
    assert SCREENS == [["reading", 3, "closed"]]


def test_the_files_of_a_folder_are_counted(tmp_path: Path) -> None:
    SCREENS.clear()
    for number in range(12):
        (tmp_path / f"class {number // 2}").mkdir(exist_ok=True)
        np.savetxt(tmp_path / f"class {number // 2}" / f"{number}.csv", np.full((2, 2), number), delimiter=",")
    with shown_by(Screen):
        load_folder(tmp_path)
    assert [["reading tables", 12, *range(1, 13), "closed"]] == SCREENS
