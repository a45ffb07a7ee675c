"""One run that is stopped again and again, gone on with each time, and compared with one that nothing stopped."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from metalstm.errors import MetalstmError
from stress.torture.run import CHECKPOINT_EVERY, LOOK_EVERY, Process, Run
from stress.torture.states import EndState


class Stop(NamedTuple):
    """How a process is made to end.

    Args:
        number: the signal.
        step: once this one is in metrics.jsonl; None: the delay counts from the process's start.
        delay: in seconds.
        environment: what makes it end by itself, in place of a signal from here.
    """

    number: int = signal.SIGKILL
    step: int | None = None
    delay: float = 0.0
    environment: Mapping[str, str] | None = None


@dataclass
class Outcome:
    """What came of one run."""

    learner: str
    stops: int = 0  # that hit
    lost: list[int] = field(default_factory=list)  # steps, at each resume
    seconds: list[float] = field(default_factory=list)  # from a signal to the process's end, saved
    readable: bool = True
    equal: bool = False
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        end = "the same bit for bit" if self.equal else f"NOT the same: {'; '.join(self.problems)}"
        return f"{self.learner}: stopped {self.stops} times, at most {max(self.lost, default=0)} steps lost, {end}"


def stopped_again_and_again(run: Run, stops: Iterable[Stop], reference: EndState) -> Outcome:
    """Stops a run at each of some moments, lets it finish, and compares how it ends."""
    outcome = Outcome(run.learner)
    try:
        for stop in stops:
            if run.over or not _once(run, stop, outcome):
                break
        if not run.over and not outcome.problems:
            _once(run, None, outcome)
        if not outcome.problems:
            differences = run.end_state().differences(reference)
            outcome.problems += [f"{name} differs" for name in differences]
            outcome.equal = not differences
    finally:
        run.end()
    return outcome


def _once(run: Run, stop: Stop | None, outcome: Outcome) -> bool:
    """One process of the run, stopped or left to finish; whether the next one may come."""
    before, new = run.last_step, run.path is None
    process = run.start(stop.environment if stop else None)
    if stop is not None:
        _send(run, process, stop)
    sent = time.monotonic()
    code = process.wait()
    hit = stop is not None and code == (-stop.number if stop.number == signal.SIGKILL else 128 + stop.number)
    outcome.stops += hit
    if "Traceback" in process.err:
        outcome.problems.append(f"a traceback:\n{process.err}")
    if code != 0 and not hit:
        outcome.readable = False
        outcome.problems.append(f"ended with {code}:\n{process.err}")
    if process.began_at is not None and not new:
        outcome.lost.append(before - process.began_at)
        if not 0 <= outcome.lost[-1] <= CHECKPOINT_EVERY:
            outcome.problems.append(f"went on from step {process.began_at}, with {before} done")
    if hit and code > 0:
        outcome.seconds.append(time.monotonic() - sent)
        saved = newest_step(run)
        if saved != run.last_step:
            outcome.problems.append(f"stopped after step {run.last_step}, saved was {saved}")
    return hit and not outcome.problems


def _send(run: Run, process: Process, stop: Stop) -> None:
    """Waits for the moment, and sends the signal unless the process has ended before."""
    if stop.environment is not None:
        return
    if stop.step is not None:
        # Before the process says where it began, metrics.jsonl may hold more than it goes on from.
        while process.alive and (process.began_at is None or run.last_step < stop.step):
            time.sleep(LOOK_EVERY)
    time.sleep(stop.delay)
    if process.alive:
        process.signal(stop.number)


def newest_step(run: Run) -> int | None:
    """Of the newest whole checkpoint."""
    import torch

    from metalstm.runs.checkpoint import LATEST, Checkpoints

    assert run.path is not None
    try:
        newest = Checkpoints(run.path / "checkpoints", 1).newest(LATEST, torch.device("cpu"))
    except MetalstmError:
        return None
    return None if newest is None else newest.step


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What the report says of them all."""
    equal = Counter({outcome.learner: 0 for outcome in outcomes})
    for outcome in outcomes:
        equal[outcome.learner] += outcome.stops if outcome.equal else 0
    return {
        "unreadable_runs": sum(not outcome.readable for outcome in outcomes),
        "max_steps_lost": max((lost for outcome in outcomes for lost in outcome.lost), default=0),
        "checkpoint_interval": CHECKPOINT_EVERY,
        "bit_equal_resumes": dict(equal),
        "bit_unequal_resumes": sum(
            max(1, outcome.stops) for outcome in outcomes if outcome.readable and not outcome.equal
        ),
        "problems": [f"{outcome.learner}: {problem}" for outcome in outcomes for problem in outcome.problems],
    }
