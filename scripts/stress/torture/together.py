"""Many processes at once: starts in the same instant (part `starts`), and races for one run (part `races`)."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from stress.torture.workshop import Workshop

STARTS, RACES, CONTESTANTS = 50, 50, 3
TICK_S = 0.01  # of a clock so coarse that many look at it in one tick
PATIENCE = 60.0  # seconds
fork = multiprocessing.get_context("fork")  # a start takes a millisecond: that is what makes an instant


class CoarseClock:
    """`datetime` with a clock that stands still between its ticks."""

    @staticmethod
    def now(zone: timezone) -> datetime:
        seconds = datetime.now(zone).timestamp()
        return datetime.fromtimestamp(seconds - seconds % TICK_S, zone)


def all_at_once(count: int, job: Callable[[int], Any]) -> list[Any]:
    """What `job(number)` gives in each of some processes, released in one instant."""
    barrier, results = fork.Barrier(count), fork.SimpleQueue()

    def one(number: int) -> None:
        barrier.wait(PATIENCE)
        results.put(job(number))

    processes = [fork.Process(target=one, args=(number,)) for number in range(count)]
    return _gathered(processes, results, count)


def _gathered(processes: list[Any], results: Any, count: int) -> list[Any]:
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    if any(process.exitcode != 0 for process in processes):
        for process in processes:
            process.kill()
        raise RuntimeError(f"exit codes {[process.exitcode for process in processes]}")
    return [results.get() for _ in range(count)]


def started_at_once(parent: Path, count: int, coarse: bool) -> int:
    """Different directories that so many runs got, all started in one instant."""
    from metalstm.runs import layout

    def start(number: int) -> str:
        if coarse:
            layout.datetime = CoarseClock  # type: ignore[misc, assignment]
        return layout.new_run_directory(parent).name

    return len(set(all_at_once(count, start)))


def starts(workshop: Workshop) -> dict[str, Any]:
    """The part `starts`: by the real clock, and by one in whose tick many start."""
    shared = 0
    for coarse in (False, True):
        shared += STARTS - started_at_once(workshop.folder / f"starts_{coarse}", STARTS, coarse)
    print(f"starts  {2 * STARTS} starts, {shared} shared a directory", flush=True)
    problems = [f"{shared} runs shared a directory"] if shared else []
    return {"same_instant_starts": 2 * STARTS, "shared_directories": shared, "problems": problems}


def winners(run: Path, races: int, contestants: int) -> list[int]:
    """Of each race for a run directory, how many processes got it; none lets go before all have tried."""
    from metalstm.errors import ConfigError
    from metalstm.runs.lock import RunLock

    # Made before the fork, so that all meet at the same ones.
    start, tried = fork.Barrier(contestants), fork.Barrier(contestants)

    def contestant(number: int) -> list[bool]:
        return [_takes(RunLock, ConfigError, run, start, tried) for _ in range(races)]

    return [sum(race) for race in zip(*all_at_once(contestants, contestant), strict=True)]


def _takes(lock: Any, refused: type[Exception], run: Path, start: Barrier, tried: Barrier) -> bool:
    start.wait(PATIENCE)
    try:
        with lock(run):
            tried.wait(PATIENCE)
            return True
    except refused:
        tried.wait(PATIENCE)
        return False


def killed_holder(run: Path) -> int:
    """A process takes a run directory and dies of SIGKILL; its process id."""
    from metalstm.runs.lock import RunLock

    pid = os.fork()
    if pid == 0:
        with RunLock(run):
            os.kill(os.getpid(), signal.SIGKILL)
        sys.exit(70)  # not reached
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    return pid


def races(workshop: Workshop) -> dict[str, Any]:
    """The part `races`; a process that was killed holding the lock goes before each tenth."""
    run = workshop.folder / "raced"
    run.mkdir()
    won: list[int] = []
    while len(won) < RACES:
        killed_holder(run)
        won += winners(run, min(10, RACES - len(won)), CONTESTANTS)
    several, none = sum(each > 1 for each in won), sum(each == 0 for each in won)
    print(f"races  {RACES} races of {CONTESTANTS}: {several} with several winners, {none} with none", flush=True)
    problems = [f"{several} races had several winners"] if several else []
    problems += [f"{none} races had no winner"] if none else []
    return {"races": RACES, "races_with_two_winners": several, "races_without_winner": none, "problems": problems}
