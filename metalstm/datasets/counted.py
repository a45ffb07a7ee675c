"""How far the reading of files has come, for whoever shows it: a dataset does not know who that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Shown(Protocol):
    """What shows how many are done."""

    def advance(self, done: int) -> None: ...

    def close(self) -> None: ...


# From what is done with the items, and how many there are, to what shows it; None: nothing is shown.
SHOW: ContextVar[Callable[[str, int], Shown] | None] = ContextVar("SHOW", default=None)


@contextmanager
def shown_by(show: Callable[[str, int], Shown]) -> Iterator[None]:
    """A context in which what is counted is shown."""
    before = SHOW.set(show)
    try:
        yield
    finally:
        SHOW.reset(before)


def counted(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Yield the items, and show how many have been taken.

    Args:
        items: such as the files of a dataset.
        what: is done with them, e.g. `reading images`.
        total: how many there are.
    """
    show = SHOW.get()
    if show is None:
        yield from items
        return
    shown = show(what, total)
    try:
        for number, item in enumerate(items, 1):
            yield item
            shown.advance(number)
    finally:
        shown.close()
