"""Signs of life between the processes of a run: a host that is gone without a word is noticed in bounded time."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from torch.distributed.distributed_c10d import Store

from metalstm.errors import LostProcessError

EVERY = 2.0  # seconds
MISSED = 15  # beats: after 30 s a process counts as gone


class Heartbeat:
    """Two threads beside the computation, which may wait for others or be long about a step.

    One beats and listens, in the store that all processes share; the other one counts how often nothing was heard, even
    when the store itself no longer answers. A process that was stopped does not count while it is.

    Args:
        store: to beat in.
        rank: of this process.
        count: of all processes.
        remedy: says what to do when a process is lost.
    """

    def __init__(self, store: Store, rank: int, count: int, remedy: Callable[[], str]) -> None:
        self.store = store.clone()  # a connection of its own: the other may be waiting
        self.rank = rank
        self.count = count
        self.remedy = remedy
        self.missed = [0] * count
        self.stopped = threading.Event()
        self.threads = [
            threading.Thread(target=target, daemon=True, name="heartbeat") for target in (self.beat, self.watch)
        ]
        self.store.set(self.key(rank), "0")

    @staticmethod
    def key(rank: int) -> str:
        return f"beat/{rank}"

    def start(self) -> None:
        """To be called when all processes have a heartbeat."""
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Stop both threads before Python ends: a thread within a call to the store would abort the process."""
        self.stopped.set()
        for thread in self.threads:
            thread.join(3 * EVERY)  # longer where the store no longer answers: then it is left behind

    def beat(self) -> None:
        keys = [self.key(rank) for rank in range(self.count)]
        before: list[bytes] = [b""] * self.count
        number = 0
        with suppress(RuntimeError):  # the store is gone: soon nobody will have been heard
            while not self.stopped.wait(EVERY):
                number += 1
                self.store.set(keys[self.rank], str(number))
                heard = self.store.multi_get(keys)
                for rank in range(self.count):
                    if heard[rank] != before[rank]:
                        self.missed[rank] = 0
                before = heard

    def watch(self) -> None:
        while not self.stopped.wait(EVERY):
            self.missed = [missed + 1 for missed in self.missed]
            lost = [str(rank) for rank, missed in enumerate(self.missed) if missed > MISSED and rank != self.rank]
            if lost:
                self.end(", ".join(lost))

    def end(self, lost: str) -> None:
        """End this process at once, whatever its main thread is waiting for."""
        error = LostProcessError.of(
            f"process {self.rank} of {self.count} has not heard of process {lost} for {MISSED * EVERY:.0f} s",
            self.remedy(),
        )
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(error.exit_code)
