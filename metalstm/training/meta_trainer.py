"""The outer loop: meta-training, killable at any moment and resumed bit for bit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from metalstm.config.text import pasted
from metalstm.evaluation.chance import ChanceWatch, mean_error, warn_of_chance
from metalstm.evaluation.evaluate import EvaluationSetup, meta_evaluate, task_batch
from metalstm.learners.base import Learner
from metalstm.learners.objective import Kind, is_better, metric_name
from metalstm.learners.parts import meta_loss
from metalstm.runs.checkpoint import BEST, LATEST
from metalstm.runtime.budget import BUDGET
from metalstm.runtime.processes import Processes
from metalstm.runtime.progress import AHEAD, Progress
from metalstm.runtime.signals import Interruption
from metalstm.tasks.sampler import TaskSampler
from metalstm.training.outer_optimizer import OuterOptimizer

log = logging.getLogger(__name__)

FIRST = 10  # steps that the time for all is told by


class Schedule(NamedTuple):
    """How long, and what happens every how many steps."""

    steps: int
    log_every: int
    validate_every: int
    checkpoint_every: int


class Validation(NamedTuple):
    """The tasks and steps of a meta-validation."""

    sampler: TaskSampler
    tasks: int
    inner_steps: int
    kind: Kind


class Plan(NamedTuple):
    """How a learner is meta-trained."""

    sampler: TaskSampler  # of meta-train
    validation: Validation  # what the best checkpoint is picked by
    schedule: Schedule
    device: torch.device
    # How much the average of the weights keeps of itself in a step, 0 < ema_decay < 1; it is validated and kept in
    # their place (Polyak & Juditsky 1992; in this form Tarvainen & Valpola 2017). None: there is none.
    ema_decay: float | None = None
    stream: str = "learner"  # the random stream that the learner draws from


class Journal(Protocol):
    """Where meta-training writes metrics and checkpoints, and by whom it may be stopped."""

    path: Path  # of the run
    interruption: Interruption

    @property
    def processes(self) -> Processes:
        """The processes that train together."""

    def record(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Write a line of metrics."""

    def save(self, kind: str, step: int, state: dict[str, Any]) -> None:
        """Write a checkpoint."""


class MetaTrainer:
    """A meta-training under way: what a checkpoint holds, and how to go on from one.

    Args:
        learner: what is trained.
        outer: its optimizer.
        plan: the tasks, the rhythm, and where to compute.
        journal: of this run.
    """

    def __init__(self, learner: Learner, outer: OuterOptimizer, plan: Plan, journal: Journal) -> None:
        self.learner = learner
        self.outer = outer
        self.sampler, self.validation, self.schedule, self.device, ema_decay, self.stream = plan
        self.journal = journal
        self.processes = journal.processes
        self.average = (
            None if ema_decay is None else AveragedModel(learner, multi_avg_fn=get_ema_multi_avg_fn(ema_decay))
        )
        self.watch = ChanceWatch(self.validation.kind, self.sampler.shape.ways, self.schedule.steps)
        self.step = 0  # the last one done
        self.validated = 0  # the last one that meta-validation was done at
        self.best: tuple[int, float] | None = None  # step and value
        self.seconds = 0.0  # spent in training steps
        self.pretraining_seconds = 0.0  # spent by the run that this one starts from
        self.processes_before = self.processes.count  # that came as far as `step`
        # From what is judged, and how many meta-validations are to come, to the seconds of the phases ahead.
        self.forecast: Callable[[Learner, int], Mapping[str, float]] = lambda judged, left: {}

    def run(self) -> None:
        """Meta-trains up to the last step; the result is in the checkpoints.

        Raises:
            DivergedError: the meta-loss or its gradient is not finite; nothing of that step was kept.
            Interrupted: a signal asked to stop; a checkpoint was saved.
        """
        if not self.outer.parameters:
            self.skip()
        self.raise_if_interrupted()
        AHEAD.phases = {}
        if self.validate_if_due(self.step):  # a run stopped between a step and its validation
            self.save()
        with Progress(
            "meta-train", self.schedule.steps, self.step, self.schedule.log_every, FIRST, self.phases_ahead
        ) as progress:
            for step in self.steps_left():
                started = time.monotonic()
                tasks = self.sampler(step).to(self.device)
                progressed = (step - 1) / self.schedule.steps
                outcome = meta_loss(self.learner, tasks, self.sampler.generator(step, self.stream), progressed)
                self.outer.step(outcome.loss, step, tasks.tasks)
                if self.average is not None:
                    self.average.update_parameters(self.learner)
                values = self.processes.means(outcome.metrics)
                self.journal.record(step, "meta_train", {**values, "outer_lr": self.outer.rate(step)})
                if not self.learner.trains_on_all_classes:
                    self.watch.see(step, values[metric_name(self.validation.kind)], tasks)
                self.step = step
                self.seconds += time.monotonic() - started
                progress.advance(step, values)
                self.raise_if_interrupted()
                with progress.paused():
                    self.validate_if_due(step)
                if self.due(self.schedule.checkpoint_every, step):
                    self.save()

    @property
    def judged(self) -> Learner:
        """The learner that is meta-validated and kept as the best: itself, or one with the average of its weights."""
        return self.learner if self.average is None else cast(Learner, self.average.module)

    def skip(self) -> None:
        """Keep the start of a learner that has nothing to meta-train."""
        log.info("nothing to meta-train")
        self.step = self.schedule.steps
        self.validate_if_due(self.step)
        self.save()

    def steps_left(self) -> Iterator[int]:
        return iter(range(self.step + 1, self.schedule.steps + 1))

    def phases_ahead(self) -> dict[str, float]:
        """As `forecast` has them, for the meta-validations that are left."""
        return dict(self.forecast(self.judged, self.validations_left()))

    def validations_left(self) -> int:
        every = self.schedule.validate_every
        return -(-self.schedule.steps // every) - self.step // every

    def due(self, every: int, step: int) -> bool:
        return step % every == 0 or step == self.schedule.steps

    def validate_if_due(self, step: int) -> bool:
        """Judges the learner on meta-validation and keeps it if it is the best so far; says whether it was due."""
        if step == 0 or step == self.validated or not self.due(self.schedule.validate_every, step):
            return False
        sampler, tasks, inner_steps, kind = self.validation
        started = time.monotonic()
        with Progress(f"meta-validation at step {step}", tasks, every=None) as progress:

            def after_batch(done: int) -> None:
                progress.advance(done)
                self.raise_if_interrupted()

            setup = EvaluationSetup(kind, self.device, self.processes)
            curve = meta_evaluate(self.judged, sampler, tasks, [inner_steps], setup, after_batch)
        if "meta-validation" in AHEAD.phases:
            AHEAD.phases["meta-validation"] = (time.monotonic() - started) * self.validations_left()
        _, value, ci95 = curve.point(inner_steps)
        name = metric_name(kind)
        self.journal.record(step, "meta_validation", {name: value, f"{name}_ci95": ci95})
        self.validated = step
        log.info("step %d: meta_validation/%s %.4f ± %.4f", step, name, value, ci95)
        if step == self.schedule.steps:
            errors = mean_error(task_batch(sampler, range(tasks))) if kind == "regression" else None
            warn_of_chance("nothing is learned: meta-validation", kind, curve.values[0], sampler.shape.ways, errors)
        if self.best is None or is_better(kind, value, self.best[1]):
            self.best = (step, value)
            self.journal.save(BEST, step, {"learner": self.judged.state_dict()})
        return True

    def raise_if_interrupted(self) -> None:
        """Save and end the run where a signal has asked for it."""
        if not self.journal.interruption.is_requested():
            return
        if self.step > 0:
            self.save()
        run = pasted("resume", self.journal.path)
        raise self.journal.interruption.error(f"stopped after step {self.step}", f"go on with {run}")

    def save(self) -> None:
        self.journal.save(LATEST, self.step, self.state_dict())
        self.processes.wait()  # whoever ends before the first one has saved may have it ended

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain data only."""
        averaged = {} if self.average is None else {"average": self.average.state_dict()}
        return averaged | {
            "learner": self.learner.state_dict(),
            "outer": self.outer.state_dict(),
            "step": self.step,
            "validated": self.validated,
            "best": self.best,
            "seconds": self.seconds,
            "pretraining_seconds": self.pretraining_seconds,
            "processes": self.processes.count,
            "memory_budget": BUDGET.limit,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.learner.load_state_dict(state["learner"])
        self.outer.load_state_dict(state["outer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.step = int(state["step"])
        self.validated = int(state["validated"])
        self.best = None if state["best"] is None else (int(state["best"][0]), float(state["best"][1]))
        self.seconds = float(state["seconds"])
        self.pretraining_seconds = float(state["pretraining_seconds"])
        self.processes_before = int(state.get("processes", 1))  # of older ones: one
