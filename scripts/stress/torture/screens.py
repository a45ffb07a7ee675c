"""Screens that hang up, are closed or are full, at random moments of training: the part `screens`."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import termios
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from stress.torture.chain import figures
from stress.torture.kills import LAST_TERM, STEP_S, until
from stress.torture.run import LEARNERS, LOOK_EVERY, Run, Screen
from stress.torture.states import EndState
from stress.torture.workshop import Workshop

HANG_UPS, ROUNDS = 20, 10  # at most: of those that save, and of each way to lose a screen


class Lost(NamedTuple):
    """A screen to begin with, and what happens to it at a moment."""

    screen: Screen
    lose: Callable[[int], None]  # given the process's number


def ignore() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def nohup() -> Lost:
    """A hang-up that is ignored from the start."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    return Lost(Screen(nowhere, nowhere, ignore), lambda pid: os.kill(pid, signal.SIGHUP))


def pipe() -> Lost:
    """A pipe that its reader closes."""
    reading, writing = os.pipe()
    return Lost(Screen(writing, writing), lambda pid: os.close(reading))


def terminal() -> Lost:
    """A terminal that goes away, with its hang-up ignored."""
    ours, theirs = os.openpty()

    def begin() -> None:
        os.setsid()
        fcntl.ioctl(1, termios.TIOCSCTTY, 0)
        ignore()

    return Lost(Screen(theirs, theirs, begin), lambda pid: os.close(ours))


def full() -> Lost:
    """A disk that is full from the start."""
    screen = os.open("/dev/full", os.O_WRONLY)
    return Lost(Screen(screen, screen), lambda pid: None)


WAYS = {"nohup": nohup, "pipe": pipe, "terminal": terminal, "full": full}


def goes_on(run: Run, lost: Lost, rng: random.Random, reference: EndState) -> list[str]:
    """Takes a run's screen away at a random moment; what was not as in a run that nothing stopped."""
    process = run.start(screen=lost.screen)
    for descriptor in {lost.screen.out, lost.screen.err}:
        os.close(descriptor)
    step = rng.randint(1, LAST_TERM)
    try:
        while process.alive and run.last_step < step:
            time.sleep(LOOK_EVERY)
        time.sleep(rng.uniform(0, STEP_S))
        lost.lose(process.pid)
        code = process.wait()
        if code != 0:
            return [f"ended with {code}"]
        assert run.path is not None
        said = (run.path / "train.log").read_text(encoding="utf-8").count("the screen is gone")
        told = [] if said == (lost.screen.before is not ignore) else [f"said {said} times that the screen is gone"]
        return [*told, *(f"{name} differs" for name in run.end_state().differences(reference))]
    finally:
        run.end()


def screens(workshop: Workshop) -> dict[str, Any]:
    """The part."""
    outcomes = list(until(workshop, "screens", signal.SIGHUP, min(HANG_UPS, workshop.most)))
    rng, problems, rounds = workshop.random("screens/lost"), [], min(ROUNDS, workshop.most)
    for way, make in WAYS.items():
        for number in range(rounds):
            learner = LEARNERS[number % len(LEARNERS)]
            found = goes_on(workshop.new_run(learner), make(), rng, workshop.reference(learner))
            problems += [f"{way}, {learner}: {problem}" for problem in found]
            print(
                f"screens  {way} {number + 1}/{rounds}  {learner}: {found or 'went on, the same bit for bit'}",
                flush=True,
            )
    found = figures(outcomes)
    return {
        "hang_ups_saved": sum(outcome.stops for outcome in outcomes),
        "screens_lost": rounds * len(WAYS),
        **found,
        "problems": [*found["problems"], *problems],
    }
