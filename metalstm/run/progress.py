"""Progress for a person: a bar on a terminal and in a notebook, a plain line now and then anywhere else."""

from __future__ import annotations

import logging
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


class Progress:
    """Shows how far a long piece of work has come.

    Args:
        what: its name, e.g. `meta-train`.
        total: how many steps or tasks it has.
        done: how many of them were done before.
        every: how many lie between two plain lines.
    """

    def __init__(self, what: str, total: int, done: int = 0, every: int = 50) -> None:
        self.what = what
        self.total = total
        self.done = self.start = done
        self.every = every
        self.started = time.monotonic()
        disable = not (sys.stderr.isatty() or in_notebook()) or not log.isEnabledFor(logging.INFO)
        self.bar = bar_type()(total=total, initial=done, desc=what, disable=disable, dynamic_ncols=True)

    def advance(self, done: int, values: Mapping[str, float] | None = None) -> None:
        """Says that `done` in all are done, and what they gave."""
        shown = {name: f"{value:.3f}" for name, value in (values or {}).items()}
        crossed = done // self.every > self.done // self.every or done == self.total
        self.bar.update(done - self.done)
        self.done = done
        if not self.bar.disable:
            if shown:
                self.bar.set_postfix(shown, refresh=False)
        elif crossed:
            seconds = time.monotonic() - self.started
            rate = (done - self.start) / max(seconds, 1e-9)
            left = (self.total - done) / max(rate, 1e-9)
            parts = [f"{self.what} {done}/{self.total}", *(f"{name} {value}" for name, value in shown.items())]
            log.info("%s", "  ".join([*parts, f"{rate:.1f}/s", f"{left:.0f} s left"]))

    def close(self) -> None:
        self.bar.close()
