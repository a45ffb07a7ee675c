"""Signals at random moments of training: SIGKILL (part `kills`) and SIGTERM (part `stops`)."""

from __future__ import annotations

import math
import random
import signal
from collections.abc import Iterator
from typing import Any

from stress.torture.chain import Outcome, Stop, figures, stopped_again_and_again
from stress.torture.run import LEARNERS, STEPS
from stress.torture.workshop import Workshop

IN_A_RUN = 4  # signals that a run gets, one after another
STARTING = 0.15  # share of kills that hit a resumed process while it starts
START_S = 4.0  # seconds, what a start takes at the most on an idle machine
STEP_S = 0.05  # seconds, that hold a step, its validation and its checkpoint
LAST_TERM = STEPS - 10  # a run that has done all its steps has nothing left to save
TERMS = 40  # SIGTERMs, enough for a 95th percentile


def random_stops(rng: random.Random, count: int, number: int) -> list[Stop]:
    """Moments in their order, drawn from the whole of a run: steps, and what lies between two of them."""
    last = STEPS if number == signal.SIGKILL else LAST_TERM
    stops = [Stop(number, step, rng.uniform(0, STEP_S)) for step in sorted(rng.choices(range(1, last + 1), k=count))]
    if number != signal.SIGKILL:
        return stops
    # Not the first one: there would be no run yet to go on with.
    early = [Stop(number, None, rng.uniform(0, START_S)) for _ in stops]
    return [stop if place == 0 or rng.random() > STARTING else early[place] for place, stop in enumerate(stops)]


def until(workshop: Workshop, part: str, number: int, wanted: int) -> Iterator[Outcome]:
    """Runs of all learners in turn, until so many signals have hit."""
    rng = workshop.random(part)
    hit, begun = 0, 0
    while hit < wanted:
        learner = LEARNERS[begun % len(LEARNERS)]
        begun += 1
        stops = random_stops(rng, min(IN_A_RUN, wanted - hit), number)
        outcome = stopped_again_and_again(workshop.new_run(learner), stops, workshop.reference(learner))
        hit += outcome.stops
        print(f"{part} {hit}/{wanted}  {outcome}", flush=True)
        yield outcome


def kills(workshop: Workshop) -> dict[str, Any]:
    """The part `kills`."""
    outcomes = list(until(workshop, "kills", signal.SIGKILL, workshop.most))
    return {"kills": sum(outcome.stops for outcome in outcomes), **figures(outcomes)}


def stops(workshop: Workshop) -> dict[str, Any]:
    """The part `stops`."""
    outcomes = list(until(workshop, "stops", signal.SIGTERM, min(TERMS, workshop.most)))
    seconds = [second for outcome in outcomes for second in outcome.seconds]
    return {
        "sigterms": len(seconds),
        "sigterm_to_saved_p95_s": round(percentile(seconds, 0.95), 3),
        **figures(outcomes),
    }


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
