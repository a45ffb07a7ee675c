"""Progress for a person: a bar on a terminal and in a notebook, a plain line now and then anywhere else."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

from metalstm.config.text import duration

log = logging.getLogger(__name__)

T = TypeVar("T")

PERIOD = 10.0  # seconds that pass without a line, at most


def in_notebook() -> bool:
    return "ipykernel" in sys.modules


def bar_type() -> Any:
    """Return the class of progress bars: the notebook's own where it has widgets, the plain one elsewhere."""
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


class Ahead:
    """The phases of this process's run, in their order, and the seconds that each is expected to take."""

    def __init__(self) -> None:
        self.phases: dict[str, float] = {}

    def after(self, what: str) -> float:
        """Return the seconds of the phases after one; 0 where nothing is known of it."""
        names = list(self.phases)
        later = names[names.index(what) + 1 :] if what in names else []
        return sum(self.phases[name] for name in later)

    def __str__(self) -> str:
        together: dict[str, float] = {}
        for name, seconds in self.phases.items():
            group = name.split(",")[0]
            together[group] = together.get(group, 0) + seconds
        return ", ".join(f"{name} {duration(seconds)}" for name, seconds in together.items())


AHEAD = Ahead()


class Progress:
    """Shows how far a long piece of work has come; a context, so that its bar ends before what is said next.

    The time left is told by the mean rate: a pause for meta-validation moves it little. It is that of the whole run
    once `AHEAD` knows what comes after this phase. Where there is no bar, no `PERIOD` passes without a line; within
    the context this holds for a single long step, too.

    Args:
        what: its name, e.g. `meta-train`.
        total: how many steps or tasks it has.
        done: how many of them were done before.
        every: how many lie between two plain lines; None: there are lines of a long phase alone.
        first: after so many a line says how long all will take, if there are many more to come; 0: it does not.
        forecast: gives the phases after this one, for that line and for `AHEAD`.
    """

    def __init__(
        self,
        what: str,
        total: int,
        done: int = 0,
        every: int | None = 50,
        first: int = 0,
        forecast: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        self.what = what
        self.total = total
        self.done = self.start = done
        self.every = every
        self.first = first if total - done >= 5 * first else 0
        self.forecast = forecast
        self.values: Mapping[str, float] = {}
        self.lines = 0  # so far
        self.spoke = time.perf_counter()  # when there was a line, or else the beginning
        self.pauses = 0.0  # seconds, not counted as this phase's
        self.over = threading.Event()
        self.watch = threading.Thread(target=self.speak, daemon=True, name="progress")
        self.started = time.monotonic()
        self.warm: tuple[float, int] | None = None  # when the first step was over, and which it was
        self.bar = bar_type()(
            total=total,
            initial=done,
            disable=not (on_terminal() or in_notebook()) or not log.isEnabledFor(logging.INFO),
            dynamic_ncols=True,
            bar_format=f"{what} {{n_fmt}}/{{total_fmt}} |{{bar}}| {{desc}}",
            leave=every is not None,
        )

    def advance(self, done: int, values: Mapping[str, float] | None = None) -> None:
        """Says that `done` in all are done, and what they gave."""
        crossed = (
            self.lines > 0 and done == self.total
            if self.every is None
            else done // self.every > self.done // self.every or done == self.total
        )
        moved = done - self.done
        self.done, self.values = done, values or {}
        self.estimate()
        if not self.bar.disable:
            self.bar.set_description_str(self.line(), refresh=False)
            self.bar.update(moved)
        elif crossed or time.perf_counter() >= self.spoke + PERIOD:
            self.say()

    def say(self) -> None:
        """Say in a plain line how far it is."""
        self.lines, self.spoke = self.lines + 1, time.perf_counter()
        log.info("%s", f"{self.what} {self.done}/{self.total}  {self.line()}")

    def line(self) -> str:
        """Return what the last ones gave, how many a second, and the time left."""
        seconds = max(time.monotonic() - self.started - self.pauses, 1e-9)
        if self.done == self.start < self.total:
            rest = max(0.0, AHEAD.phases.get(self.what, 0) - seconds) + AHEAD.after(self.what)
            return f"{duration(seconds)} so far" + (f"  {duration(rest)} left" if rest else "")
        rate = (self.done - self.start) / seconds
        left = duration((self.total - self.done) / max(rate, 1e-9) + AHEAD.after(self.what))
        shown = [f"{name} {value:.3f}" for name, value in self.values.items()]
        return "  ".join([*shown, f"{rate:.{1 if rate >= 1 else 3}f}/s", f"{left} left"])

    def speak(self) -> None:
        """Say how far it is whenever nothing else has for a period; of a bar, move the time."""
        while not self.over.wait(max(0.0, self.spoke + PERIOD - time.perf_counter())):
            if self.bar.disable and time.perf_counter() >= self.spoke + PERIOD:
                self.say()
            elif not self.bar.disable:
                self.spoke = time.perf_counter()
                self.bar.set_description_str(self.line())

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Open a context of work that is another phase's."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.pauses += time.monotonic() - began

    def estimate(self) -> None:
        """Says once how long the rest will take; the very first one, which takes longer, does not count."""
        if not self.first:
            return
        count = self.done - self.start
        if self.warm is None:
            self.warm = (time.monotonic(), self.done)
        elif count >= self.first:
            self.first = 0
            rest = (time.monotonic() - self.warm[0]) / (self.done - self.warm[1]) * (self.total - self.done)
            with self.paused():
                AHEAD.phases = {self.what: rest, **self.forecast()}
            whole = rest + AHEAD.after(self.what)
            told = f", and the whole run {duration(whole)}: {AHEAD}" if whole > rest else ""
            log.info("%s takes about %s more, as its first %d steps go%s", self.what, duration(rest), count, told)

    def __enter__(self) -> Progress:
        self.watch.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
        self.watch.join(1)

    def close(self) -> None:
        self.over.set()
        self.bar.close()


def counted(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Yield the items, and show how many have been taken.

    Args:
        items: such as the files of a dataset.
        what: is done with them, e.g. `reading images`.
        total: how many there are.
    """
    with Progress(what, total, every=None) as shown:
        for number, item in enumerate(items, 1):
            yield item
            shown.advance(number)
