"""The outer loop: meta-training, killable at any moment and resumed bit for bit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from metalstm.config.text import pasted
from metalstm.evaluation.chance import ChanceWatch, mean_error, warn_of_chance
from metalstm.evaluation.evaluate import meta_evaluate, task_batch
from metalstm.learners.base import Learner
from metalstm.learners.objective import Kind, is_better, metric_name
from metalstm.learners.parts import meta_loss
from metalstm.runs.checkpoint import BEST, LATEST, Checkpoints
from metalstm.runs.metrics import MetricsFile
from metalstm.runtime.budget import BUDGET
from metalstm.runtime.processes import ALONE, Processes
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
    """What meta-validation is done on."""

    sampler: TaskSampler
    tasks: int
    inner_steps: int
    kind: Kind


class MetaTraining:
    """A meta-training under way: what a checkpoint holds, and how to go on from one.

    Args:
        learner: what is trained.
        outer: its optimizer.
        sampler: of meta-train.
        validation: what the best checkpoint is picked by.
        schedule: the rhythm.
        checkpoints: of this run.
        metrics: of this run.
        interruption: asked at every step boundary.
        device: where to compute.
        averaging: how much the average of the weights keeps of itself in a step, 0 < averaging < 1; it is judged and
            kept in their place (Polyak & Juditsky 1992; in this form Tarvainen & Valpola 2017). None: there is none.
        draws: the name of the random stream that the learner draws from.
        processes: that train together.
    """

    def __init__(
        self,
        learner: Learner,
        outer: OuterOptimizer,
        sampler: TaskSampler,
        validation: Validation,
        schedule: Schedule,
        checkpoints: Checkpoints,
        metrics: MetricsFile,
        interruption: Interruption,
        device: torch.device,
        averaging: float | None = None,
        draws: str = "learner",
        processes: Processes = ALONE,
    ) -> None:
        self.learner = learner
        self.outer = outer
        self.sampler = sampler
        self.validation = validation
        self.schedule = schedule
        self.checkpoints = checkpoints
        self.metrics = metrics
        self.interruption = interruption
        self.device = device
        self.average = (
            None if averaging is None else AveragedModel(learner, multi_avg_fn=get_ema_multi_avg_fn(averaging))
        )
        self.draws = draws
        self.processes = processes
        self.watch = ChanceWatch(validation.kind, sampler.shape.ways, schedule.steps)
        self.step = 0  # the last one done
        self.validated = 0  # the last one that meta-validation was done at
        self.best: tuple[int, float] | None = None  # step and value
        self.seconds = 0.0  # spent in training steps
        self.pretraining_seconds = 0.0  # spent by the run that this one starts from
        self.processes_before = processes.count  # that came as far as `step`
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
        self.heed_interruption()
        AHEAD.phases = {}
        if self.validate_if_due(self.step):  # a run stopped between a step and its validation
            self.save()
        with Progress(
            *("meta-train", self.schedule.steps, self.step, self.schedule.log_every, FIRST, self.phases_ahead)
        ) as progress:
            for step in self.steps_left():
                started = time.monotonic()
                tasks = self.sampler(step).to(self.device)
                progressed = (step - 1) / self.schedule.steps
                outcome = meta_loss(self.learner, tasks, self.sampler.generator(step, self.draws), progressed)
                self.outer.step(outcome.loss, step, tasks.tasks)
                if self.average is not None:
                    self.average.update_parameters(self.learner)
                values = self.processes.means(outcome.metrics)
                self.metrics.record(step, "meta_train", {**values, "outer_lr": self.outer.rate(step)})
                if not self.learner.trains_on_all_classes:
                    self.watch.see(step, values[metric_name(self.validation.kind)], tasks)
                self.step = step
                self.seconds += time.monotonic() - started
                progress.advance(step, values)
                self.heed_interruption()
                with progress.paused():
                    self.validate_if_due(step)
                if self.due(self.schedule.checkpoint_every, step):
                    self.save()

    @property
    def judged(self) -> Learner:
        """What is meta-validated and kept as the best: the learner, or one with the average of its weights."""
        return self.learner if self.average is None else cast(Learner, self.average.module)

    def skip(self) -> None:
        """Of a learner that has nothing to meta-train, there is only the start to keep."""
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
                self.heed_interruption()

            curve = meta_evaluate(
                *(self.judged, sampler, tasks, [inner_steps], kind, self.device, after_batch),
                processes=self.processes,
            )
        if "meta-validation" in AHEAD.phases:
            AHEAD.phases["meta-validation"] = (time.monotonic() - started) * self.validations_left()
        _, value, ci95 = curve.point(inner_steps)
        name = metric_name(kind)
        self.metrics.record(step, "meta_validation", {name: value, f"{name}_ci95": ci95})
        self.validated = step
        log.info("step %d: meta_validation/%s %.4f ± %.4f", step, name, value, ci95)
        if step == self.schedule.steps:
            errors = mean_error(task_batch(sampler, range(tasks))) if kind == "regression" else None
            warn_of_chance("nothing is learned: meta-validation", kind, curve.values[0], sampler.shape.ways, errors)
        if self.best is None or is_better(kind, value, self.best[1]):
            self.best = (step, value)
            self.checkpoints.save(BEST, step, {"learner": self.judged.state_dict()})
        return True

    def heed_interruption(self) -> None:
        if not self.interruption.agreed():
            return
        if self.step > 0:
            self.save()
        run = pasted("resume", self.checkpoints.folder.parent)
        raise self.interruption.error(f"stopped after step {self.step}", f"go on with {run}")

    def save(self) -> None:
        self.metrics.sync()
        self.checkpoints.save(LATEST, self.step, self.state_dict())
        self.processes.wait()  # whoever ends before the first one has saved may have it ended

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain data only."""
        averaged = {} if self.average is None else {"average": self.average.state_dict()}
        return (
            averaged
            | self.metrics.state()
            | {
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
        )

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
        self.checkpoints.drop_best_after(self.step)
