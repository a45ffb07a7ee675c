"""The meta-test that a run ends with: the learner, and the same model from scratch on the same tasks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from metalstm.evaluation.baselines import (
    RATES,
    TUNING_TASKS,
    Baseline,
    Evaluate,
    best_rate,
    evaluator,
    scratch_many_steps,
    scratch_same_steps,
)
from metalstm.evaluation.confusion import Confusion
from metalstm.evaluation.evaluate import Adapts, Curve, EvaluationSetup, meta_evaluate
from metalstm.evaluation.gallery import gallery
from metalstm.evaluation.statistics import Interval
from metalstm.learners.base import Learner
from metalstm.learners.inner_loop.optimizer_steps import OptimizerLearner
from metalstm.nn.base import Shape
from metalstm.runs.layout import CONFUSION, GALLERY, optional
from metalstm.runtime.progress import Progress
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.examples import TaskBatch
from metalstm.tasks.sampler import TaskSampler

log = logging.getLogger(__name__)


class Protocol(NamedTuple):
    """How much a meta-test measures."""

    tasks: int  # of meta-test
    steps: int  # that the result is read after
    steps_shown: int  # how far the adaptation curve goes
    step_unit: str  # what a step is: `step`, or `shot` of a learner that only reads
    scratch_inner_steps: int  # of the baseline that takes as many as the learner
    scratch_tasks: int  # the first so many of the tasks are for the baselines; 0: no baselines
    scratch_steps: int  # that a baseline may take


class MetaTested(NamedTuple):
    """The measurements of a meta-test."""

    split: str  # whose tasks: meta_test, or meta_validation where settings are chosen
    curve: Curve  # of the learner
    steps: int  # that the result is read after
    step_unit: str
    seconds_per_step: float  # that a task's adaptation takes
    picked_lr: float | None  # on meta-validation, by a learner that leaves its inner rate open
    baselines: dict[str, Baseline]
    gallery: dict[str, Any] | None  # one of the tasks, see `gallery.py`; None: it could not be made
    confusion: dict[str, Any] | None  # see `confusion.py`; None: there are no classes, or it could not be made
    over_classes: Interval | None = None  # the interval of accuracy over classes, where tasks are drawn from them


def made(name: str, make: Callable[..., dict[str, Any]], *given: Any) -> dict[str, Any] | None:
    """Return what is made to look at; None, with a warning, where that fails: it costs no result."""
    with optional(name):
        return make(*given)
    return None


def leaves_rate_open(learner: object) -> bool:
    """Whether a learner's inner rate is to be picked on meta-validation."""
    return isinstance(learner, OptimizerLearner) and learner.lr is None


class Evaluator(NamedTuple):
    """Where and how learners are judged."""

    validation: TaskSampler
    test: TaskSampler
    protocol: Protocol
    setup: EvaluationSetup
    between: Callable[[], None]  # called after each batch of tasks

    def evaluate(self, learner: Learner, shape: Shape, seed: int) -> MetaTested:
        """Meta-tests a learner, and its model from scratch.

        Args:
            learner: with the weights to test.
            shape: of the baselines' model.
            seed: of their starts.
        """
        protocol = self.protocol
        picked = self.pick_rate(learner)
        source = self.test.source
        confusion = Confusion(source) if isinstance(source, ClassDataset) else None
        curve = self.meta_test(learner, confusion)
        seconds = self.seconds_per_step(learner)
        return MetaTested(
            self.test.split,
            curve,
            protocol.steps,
            protocol.step_unit,
            seconds,
            picked,
            self.baselines(shape, seed),
            made(
                GALLERY,
                gallery,
                learner,
                self.test,
                self.setup.kind,
                protocol.steps,
                protocol.step_unit,
                self.setup.device,
            ),
            None if confusion is None else made(CONFUSION, confusion.content),
            None if confusion is None else confusion.interval(),
        )

    def meta_test(self, learner: Adapts, confusion: Confusion | None = None) -> Curve:
        """Return the learner's adaptation curve over `protocol.tasks` tasks.

        `confusion` counts what it says in the end.
        """
        tasks = self.protocol.tasks
        progress = Progress(self.test.split.replace("_", "-"), tasks, every=max(1, tasks // 4))

        def after_batch(done: int) -> None:
            progress.advance(done)
            self.between()

        def watch(batch: TaskBatch, predictions: Tensor) -> None:
            if confusion is not None:
                confusion.add(batch, predictions[self.protocol.steps])

        at = range(self.protocol.steps_shown + 1)
        with progress:
            curve = meta_evaluate(learner, self.test, tasks, at, self.setup, after_batch, watch)
        if confusion is not None:
            confusion.sum_up(self.setup.processes.gathered(confusion.counts()))
        return curve

    def seconds_per_step(self, learner: Adapts) -> float:
        """Return what a step of adapting to one task takes: a single task, all steps, less none.

        The fastest of three.
        """
        steps = max(1, self.protocol.steps)
        task = self.test(0).to(self.setup.device)

        def seconds(at: int) -> float:
            started = time.perf_counter()
            learner.adaptation_curve(task, [at])
            return time.perf_counter() - started

        fastest = [min(seconds(at) for _ in range(3)) for at in (0, steps)]
        return round(max(0.0, fastest[1] - fastest[0]) / steps, 6)

    def baseline_evaluator(self, test_tasks: int) -> Evaluate:
        """How baselines are evaluated, on so many of the test tasks."""
        return evaluator(self.validation, self.test, test_tasks, self.setup, self.between)

    def pick_rate(self, learner: Learner) -> float | None:
        """Pick on meta-validation the rate of a learner that leaves it open, and gives it to the learner."""
        if not leaves_rate_open(learner):
            return None
        assert isinstance(learner, OptimizerLearner)

        def with_rate(lr: float) -> Learner:
            learner.lr = lr
            return learner

        evaluate = self.baseline_evaluator(TUNING_TASKS)
        rates = RATES[learner.optimizer]
        picked, _ = best_rate("inner_lr", rates, with_rate, self.setup.kind, [self.protocol.steps], evaluate)
        learner.lr = picked
        return picked

    def baselines(self, shape: Shape, seed: int) -> dict[str, Baseline]:
        """Return the model from scratch, by name: as many steps as the learner takes, and as many as do it good."""
        protocol = self.protocol
        if protocol.scratch_tasks == 0:
            return {}
        log.info("from scratch, for comparison: rates are picked on meta-validation")
        evaluate = self.baseline_evaluator(protocol.scratch_tasks)
        same = protocol.scratch_inner_steps
        shown = max(same, protocol.steps_shown)
        return {
            "scratch": scratch_same_steps(shape, self.setup.kind, seed, same, shown, evaluate),
            "scratch_many_steps": scratch_many_steps(shape, self.setup.kind, seed, protocol.scratch_steps, evaluate),
        }
