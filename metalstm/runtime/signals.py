"""SIGINT, SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2: noted when they arrive, heeded at the next step boundary."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from metalstm.errors import Interrupted, Problem
from metalstm.runtime.processes import SINGLE, Processes
from metalstm.runtime.signal_names import BY_NAME, handled


class Interruption:
    """A context in which the signals only set `requested`; a second Ctrl-C changes nothing.

    Args:
        processes: that stop together when one of them is asked to.
    """

    def __init__(self, processes: Processes = SINGLE) -> None:
        self.processes = processes
        self.requested: int | None = None  # of this process
        self.heeded: int | None = None  # by all of them
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # signals reach no other, nor may it ask for them
            for number in handled():
                self.before[number] = signal.signal(number, self.note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def note(self, number: int, frame: FrameType | None) -> None:
        if self.requested is None:
            self.requested = number

    def is_requested(self) -> bool:
        """Return whether a signal has asked any of the processes to stop; all of them get the same answer."""
        self.heeded = self.processes.all_reduce(self.requested)
        return self.heeded is not None

    def raise_if_interrupted(self, what: str, fix: str) -> None:
        """End the run where a signal has asked for it."""
        if self.is_requested():
            raise self.error(what, fix)

    def error(self, what: str, fix: str) -> Interrupted:
        """Return what ends the run. SIGUSR1 and SIGUSR2 are a scheduler's warning before SIGTERM and count as that."""
        number = self.heeded if self.heeded in BY_NAME else signal.SIGTERM
        return Interrupted(number, Problem(f"{what} by {signal.Signals(self.heeded or number).name}", fix))
