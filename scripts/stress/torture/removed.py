"""The run directory removed, moved or replaced at random moments of training: the part `removed`."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stress.torture.kills import LAST_TERM, STEP_S
from stress.torture.run import CHECKPOINT_EVERY, LEARNERS, LOOK_EVERY, Run
from stress.torture.workshop import Workshop

ROUNDS = 24  # at most


def replace(run: Path) -> None:
    run.rename(run.with_name("moved"))
    run.mkdir()


WAYS: dict[str, Callable[[Path], Any]] = {
    "removed": shutil.rmtree,
    "moved": lambda run: run.rename(run.with_name("moved")),
    "replaced": replace,
}


def taken_away(run: Run, take: Callable[[Path], Any], rng: random.Random) -> list[str]:
    """Takes a run's directory away at a random moment; what was not as it should be."""
    process = run.start()
    step = rng.randint(1, LAST_TERM)
    try:
        while process.alive and run.last_step < step:
            time.sleep(LOOK_EVERY)
        time.sleep(rng.uniform(0, STEP_S))
        path = run.path
        assert path is not None
        process.signal(signal.SIGSTOP)  # or it might write into what is being removed
        take(path)
        reached = run_steps(process.out)
        process.signal(signal.SIGCONT)
        code = process.wait()
        problems = [] if code == 4 else [f"ended with {code}"]
        if not process.err.startswith("error: ") or "Traceback" in process.err:
            problems.append(f"it was told as:\n{process.err}")
        if run_steps(process.out) - reached > CHECKPOINT_EVERY + 1:
            problems.append(f"noticed at step {run_steps(process.out)}, taken away at {reached}")
        if path.is_dir() and list(path.iterdir()):
            problems.append(f"wrote {', '.join(one.name for one in path.iterdir())}")
        return problems
    finally:
        run.end()


def run_steps(out: str) -> int:
    """The last step that a run has shown; it shows each."""
    shown = [line.split()[1].partition("/")[0] for line in out.splitlines() if line.startswith("meta-train ")]
    return max((int(step) for step in shown if step.isdecimal()), default=0)


def removed(workshop: Workshop) -> dict[str, Any]:
    """The part."""
    rng, problems, rounds = workshop.random("removed"), [], min(ROUNDS, workshop.most)
    for number in range(rounds):
        learner, way = LEARNERS[number % len(LEARNERS)], list(WAYS)[number // len(LEARNERS) % len(WAYS)]
        found = taken_away(workshop.new_run(learner, log_every=1), WAYS[way], rng)
        problems += [f"{way}, {learner}: {problem}" for problem in found]
        print(f"removed  {number + 1}/{rounds}  {way}, {learner}: {found or 'said so at the next save'}", flush=True)
    return {"directories_removed": rounds, "problems": problems}
