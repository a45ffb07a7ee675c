"""Real runs, stopped at random moments: they go on, lose little, and end as the run that nothing stopped."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from stress.torture.chain import Outcome, Stop, figures, stopped_again_and_again
from stress.torture.kills import percentile, random_stops
from stress.torture.run import CHECKPOINT_EVERY, STEPS, Run
from stress.torture.states import EndState, digest
from stress.torture.workshop import Workshop

REFERENCE = EndState("learner", "outer", "metrics", "result")


@pytest.mark.slow
def test_killed_at_random_moments(workshop: Workshop) -> None:
    """In two steps, while a process starts, and by SIGTERM at the end of them."""
    rng = random.Random("kills")
    stops = [*random_stops(rng, 2, signal.SIGKILL), *random_stops(rng, 1, signal.SIGTERM)]
    stops = [stop._replace(step=step) for stop, step in zip(stops, (7, 22, 38), strict=True)]
    stops.insert(1, Stop(delay=rng.uniform(0, 2)))
    outcome = stopped_again_and_again(workshop.new_run("maml"), stops, workshop.reference("maml"))
    assert outcome.problems == []
    assert outcome.equal
    assert outcome.stops == 4
    assert max(outcome.lost) <= CHECKPOINT_EVERY
    assert len(outcome.seconds) == 1
    assert outcome.seconds[0] < 10


def test_moments_are_drawn_in_their_order_from_the_whole_run() -> None:
    drawn = [random_stops(random.Random(seed), 4, signal.SIGKILL) for seed in range(200)]
    assert drawn[0] == random_stops(random.Random(0), 4, signal.SIGKILL)
    steps = [[stop.step for stop in stops if stop.step is not None] for stops in drawn]
    assert all(each == sorted(each) for each in steps)
    assert {step for each in steps for step in each} == set(range(1, STEPS + 1))
    assert all(stops[0].step is not None for stops in drawn)
    starting = sum(stop.step is None for stops in drawn for stop in stops)
    assert 40 < starting < 160


@pytest.mark.parametrize(
    "other",
    [
        {"w": torch.tensor([1.0, -0.0])},
        {"w": torch.tensor([1.0, 0.0], dtype=torch.float64)},
        {"w": torch.tensor([[1.0, 0.0]])},
        {"v": torch.tensor([1.0, 0.0])},
        {"w": torch.tensor([1.0, torch.finfo().tiny])},
        {"w": [1.0, 0.0]},
        {},
    ],
    ids=str,
)
def test_every_bit_counts(other: Any) -> None:
    state = {"w": torch.tensor([1.0, 0.0]), "step": 3, "best": (1, 0.5)}
    assert digest(state) == digest(json.loads('{"best": [1, 0.5], "step": 3}') | {"w": torch.tensor([1.0, 0.0])})
    assert digest({"w": state["w"]}) != digest(other)


class Played(NamedTuple):
    """What a process of a `PlayedRun` does, in place of training."""

    code: int
    began_at: int
    reached: int  # step, as metrics.jsonl has it
    err: str = ""


class PlayedRun(Run):
    """A run that only says how its processes end; the last of them ends it."""

    def __init__(self, *plays: Played, end: EndState = REFERENCE) -> None:
        self.plays, self.learner, self.processes, self.ends = list(plays), "maml", [], end
        self.step = 0

    path = Path("run")
    last_step = property(lambda self: self.step)  # type: ignore[assignment]
    over = property(lambda self: not self.plays)  # type: ignore[assignment]

    def start(self, environment: Any = None) -> Any:
        run, play = self, self.plays.pop(0)

        class Process:
            err, began_at, alive = play.err, play.began_at, True

            def signal(self, number: int) -> None:
                pass

            def wait(self) -> int:
                run.step = play.reached
                return play.code

        return Process()

    def end_state(self) -> EndState:
        return self.ends


KILL = Stop(delay=0.0)


def after(*plays: Played, end: EndState = REFERENCE) -> Outcome:
    return stopped_again_and_again(PlayedRun(*plays, end=end), [KILL] * (len(plays) - 1), REFERENCE)


def test_a_chain_counts_what_is_lost() -> None:
    outcome = after(Played(-9, 0, 13), Played(-9, 10, 27), Played(0, 25, 60))
    assert (outcome.stops, outcome.lost, outcome.equal, outcome.readable) == (2, [0, 3, 2], True, True)
    assert figures([outcome])["bit_equal_resumes"] == {"maml": 2}
    assert figures([outcome])["max_steps_lost"] == 3


@pytest.mark.parametrize(
    ("plays", "end", "problem", "readable"),
    [
        ([Played(-9, 0, 13), Played(0, 5, 60)], REFERENCE, "went on from step 5, with 13 done", True),
        ([Played(-9, 0, 13), Played(0, 20, 60)], REFERENCE, "went on from step 20, with 13 done", True),
        ([Played(-9, 0, 13), Played(4, 0, 13, "error: none is whole")], REFERENCE, "ended with 4:\nerror: none", False),
        ([Played(1, 0, 13), Played(0, 10, 60)], REFERENCE, "ended with 1", False),
        ([Played(-9, 0, 3), Played(0, 0, 60, "Traceback (most ...")], REFERENCE, "a traceback", True),
        ([Played(-9, 0, 3), Played(0, 0, 60)], REFERENCE._replace(outer="other"), "outer differs", True),
        ([Played(-9, 0, 3), Played(0, 0, 60)], REFERENCE._replace(metrics="other"), "metrics differs", True),
    ],
)
def test_a_chain_tells_what_went_wrong(plays: list[Played], end: EndState, problem: str, readable: bool) -> None:
    outcome = after(*plays, end=end)
    assert problem in "\n".join(outcome.problems)
    assert outcome.readable is readable
    assert not outcome.equal
    found = figures([outcome])
    assert (found["unreadable_runs"] > 0, found["bit_unequal_resumes"] > 0) == (not readable, readable)
    assert found["problems"]


def test_percentile() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.95) == 3.0
    assert percentile([float(number) for number in range(100, 0, -1)], 0.95) == 95.0
