"""SIGKILL at each stage of a checkpoint's save in real training: the part `saves`."""

from __future__ import annotations

from typing import Any

from stress.torture.chain import Outcome, Stop, figures, stopped_again_and_again
from stress.torture.interpose import Interposer, deaths, stages
from stress.torture.workshop import Workshop

LEARNER = "maml"
IN_A_RUN = 6  # deaths of a run, one after another
LATEST = 3  # a save that dies is one of a process's first


def saves(workshop: Workshop) -> dict[str, Any]:
    """The part: every stage that a run which nothing stops comes through is one to die at."""
    interposer = Interposer(workshop.folder / "interpose")
    log = interposer.folder / "calls.log"
    log.unlink(missing_ok=True)
    reference = workshop.reference(LEARNER, interposer.logging(log))
    found = stages(log)
    rng = workshop.random("saves")
    left = [(stage, kind, rng.randint(1, min(LATEST, found[stage]))) for stage, kind in deaths(found)]
    rng.shuffle(left)
    left = left[: workshop.most]
    total, killed, outcomes, never = len(left), [], [], []
    while left:
        # Some stages, such as the making of the folder, come in no run gone on with: they are put off to a new one.
        tried = left[:IN_A_RUN]
        stops = [Stop(environment=interposer.fault(*each)) for each in tried]
        outcome: Outcome = stopped_again_and_again(workshop.new_run(LEARNER), stops, reference)
        outcomes.append(outcome)
        killed += tried[: outcome.stops]
        left = left[outcome.stops :]
        print(f"saves {len(killed)}/{total}  {outcome}", flush=True)
        if outcome.stops == 0:
            never.append(left.pop(0))
    found_wrong = figures(outcomes)
    found_wrong["problems"] += [f"{kind} at '{stage}' never came" for stage, kind, _ in never]
    names = sorted({stage if kind == "kill" else f"half a {stage}" for stage, kind, _ in killed})
    return {"save_stages_killed": len(names), "save_stages": names, **found_wrong}
