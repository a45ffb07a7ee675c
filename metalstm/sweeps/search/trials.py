"""The search itself: one trial after the other, whatever becomes of each, until there are as many as asked for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from metalstm.errors import CheckpointError, DataError, DivergedError, Interrupted, MetalstmError, Problem
from metalstm.runtime.signal_names import STOPPED
from metalstm.runtime.signals import Interruption
from metalstm.sweeps.job import wait_until_free
from metalstm.sweeps.search.plan import Plan
from metalstm.sweeps.search.process import TrialProcess, Validated, Validations, validations
from metalstm.sweeps.search.study import Study, TrialUnderWay, Tried

log = logging.getLogger(__name__)

LOOK_EVERY = 0.1  # seconds
# A trial ends at its last meta-validation: the meta-test is not for choosing, and can be had by going on with the run.
ONLY_IN_TRIALS = ["test_tasks=0"]
GO_ON = "the same command goes on with the search"


def trial_directory(folder: Path, number: int) -> Path:
    return folder / f"trial_{number:03d}"


class Search:
    """A search under way.

    Args:
        folder: where all of it is.
        plan: what is searched.
        study: what it remembers.
        steps: the step that a trial's last meta-validation is at, by its overrides.
        interruption: asked while a trial runs.
    """

    def __init__(
        self, folder: Path, plan: Plan, study: Study, steps: Callable[[list[str]], int], interruption: Interruption
    ) -> None:
        self.folder = folder
        self.plan = plan
        self.study = study
        self.steps = steps
        self.interruption = interruption

    def run(self, trials: int, after: Callable[[Tried], None]) -> None:
        """Goes on until so many trials are over; `after` is called with each.

        Raises:
            Interrupted: stopped; the trial under way is gone on with by the next start.
            DataError, CheckpointError: what no other trial would be spared.
        """
        while len(self.study.over()) < trials:
            after(self.try_one(self.study.next()))

    def try_one(self, trial: TrialUnderWay) -> Tried:
        """One trial to its end: its run is begun, or gone on with where it has been begun."""
        path = trial_directory(self.folder, trial.number)
        overrides = self.plan.overrides(trial.settings)
        try:
            last = self.steps(overrides)
        except MetalstmError as error:  # settings that do not go together
            return trial.fail(error.problems[0].what)
        wait_until_free(path)
        ended = self.heard(trial, validations(path), last, True)
        if ended is not None:
            return ended
        process = TrialProcess(path, [*overrides, *ONLY_IN_TRIALS])
        try:
            return self.followed(trial, process, path, last)
        finally:
            process.stop()

    def followed(self, trial: TrialUnderWay, process: TrialProcess, path: Path, last: int) -> Tried:
        """Listen to a trial's process until the trial is over."""
        validated = Validations(path)
        while True:
            code = process.ended()  # before what it has written is read, all of it then
            self.interruption.raise_if_interrupted(f"stopped in trial {trial.number}", GO_ON)
            ended = self.heard(trial, validated.so_far(), last, code is not None)
            if ended is not None:
                process.stop()
                return ended
            if code is not None:
                check_own(code, process.why())
                return (trial.diverge if code == DivergedError.exit_code else trial.fail)(process.why())
            time.sleep(LOOK_EVERY)

    def heard(self, trial: TrialUnderWay, found: list[Validated], last: int, over: bool) -> Tried | None:
        """Write down what a run has come to; gives the trial where that ends it.

        Args:
            trial: whose run it is.
            found: all meta-validations so far.
            last: the step of the last one to come.
            over: whether no process is at it any more.
        """
        for one in found:
            if one.step < max(trial.reported, default=0):
                continue
            trial.report(one)
            if one.step == last:
                return trial.complete() if over else None
            if trial.hopeless():
                return trial.prune(one.step)
        return None


def check_own(code: int, why: str) -> None:
    """Whether a trial has ended for a reason of its own.

    Args:
        code: its process's exit code.
        why: in words.

    Raises:
        MetalstmError: what fails every trial, or is meant for the search.
    """
    if code in STOPPED:
        raise Interrupted(code - 128, Problem(why, GO_ON))
    for kind in (DataError, CheckpointError):
        if code == kind.exit_code:
            raise kind.of(why, f"mend it; {GO_ON}")
