"""Progress for a person: a bar on a terminal and in a notebook, a plain line now and then anywhere else."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

log = logging.getLogger(__name__)


def in_notebook() -> bool:
    return "ipykernel" in sys.modules


def bar_type() -> Any:
    """A notebook has a bar of its own, where it has the widgets for it."""
    if not in_notebook():
        return tqdm
    from tqdm import auto

    return auto.tqdm


def on_terminal() -> bool:
    """Whether a bar can be drawn where errors go: a terminal, and one that says how wide it is."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError, AttributeError):  # no terminal, or not even a file
        return False


def duration(seconds: float) -> str:
    """A time to wait as a person says it: `39 s`, `12 min`, `2 h 05 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


class Progress:
    """Shows how far a long piece of work has come; a context, so that its bar ends before what is said next.

    The time left is told by the mean rate: a pause for meta-validation moves it little.

    Args:
        what: its name, e.g. `meta-train`.
        total: how many steps or tasks it has.
        done: how many of them were done before.
        every: how many lie between two plain lines.
        first: after so many a line says how long all will take, if there are many more to come; 0: it does not.
    """

    def __init__(self, what: str, total: int, done: int = 0, every: int = 50, first: int = 0) -> None:
        self.what = what
        self.total = total
        self.done = self.start = done
        self.every = every
        self.first = first if total - done >= 5 * first else 0
        self.started = time.monotonic()
        self.warm: tuple[float, int] | None = None  # when the first step was over, and which it was
        self.bar = bar_type()(
            total=total,
            initial=done,
            disable=not (on_terminal() or in_notebook()) or not log.isEnabledFor(logging.INFO),
            dynamic_ncols=True,
            bar_format=f"{what} {{n_fmt}}/{{total_fmt}} |{{bar}}| {{desc}}",
        )

    def advance(self, done: int, values: Mapping[str, float] | None = None) -> None:
        """Says that `done` in all are done, and what they gave."""
        crossed = done // self.every > self.done // self.every or done == self.total
        moved = done - self.done
        self.done = done
        self.estimate()
        if not self.bar.disable:
            self.bar.set_description_str(self.line(values or {}), refresh=False)
            self.bar.update(moved)
        elif crossed:
            log.info("%s", f"{self.what} {done}/{self.total}  {self.line(values or {})}")

    def line(self, values: Mapping[str, float]) -> str:
        """What the last ones gave, how many a second, and the time left."""
        rate = (self.done - self.start) / max(time.monotonic() - self.started, 1e-9)
        left = duration((self.total - self.done) / max(rate, 1e-9))
        shown = [f"{name} {value:.3f}" for name, value in values.items()]
        return "  ".join([*shown, f"{rate:.{1 if rate >= 1 else 3}f}/s", f"{left} left"])

    def estimate(self) -> None:
        """Says once how long the rest will take; the very first one, which takes longer, does not count."""
        if not self.first:
            return
        count = self.done - self.start
        if self.warm is None:
            self.warm = (time.monotonic(), self.done)
        elif count >= self.first:
            each = (time.monotonic() - self.warm[0]) / (self.done - self.warm[1])
            rest = duration(each * (self.total - self.done))
            log.info("%s takes about %s more, as its first %d steps go", self.what, rest, count)
            self.first = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *raised: object) -> None:
        self.bar.close()
