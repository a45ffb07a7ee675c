"""The meta-test that a run ends with: the learner, and the same LSTM from scratch on the same tasks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import torch

from metalstm.learners.objective import Kind
from metalstm.nn.model import ModelShape
from metalstm.run.baselines import Baseline, evaluator, scratch_many_steps, scratch_same_steps
from metalstm.run.evaluation import Adapts, Curve, meta_evaluate
from metalstm.run.progress import Progress
from metalstm.tasks.sampler import TaskSampler

log = logging.getLogger(__name__)


class Protocol(NamedTuple):
    """What is measured."""

    tasks: int  # of meta-test
    steps: int  # inner steps that the result is read after
    steps_shown: int  # how far the adaptation curve goes
    scratch_tasks: int  # the first so many of the tasks are for the baselines; 0: no baselines
    scratch_steps: int  # that a baseline may take


def meta_test(
    learner: Adapts,
    sampler: TaskSampler,
    protocol: Protocol,
    kind: Kind,
    device: torch.device,
    between: Callable[[], None],
) -> Curve:
    """The learner's adaptation curve over `protocol.tasks` tasks; `between` is called after each batch of tasks."""
    progress = Progress("meta-test", protocol.tasks, every=max(1, protocol.tasks // 4))

    def after_batch(done: int) -> None:
        progress.advance(done)
        between()

    at = range(protocol.steps_shown + 1)
    curve = meta_evaluate(learner, sampler, protocol.tasks, at, kind, device, after_batch)
    progress.close()
    return curve


def baselines(
    shape: ModelShape,
    validation: TaskSampler,
    test: TaskSampler,
    protocol: Protocol,
    kind: Kind,
    device: torch.device,
    seed: int,
    between: Callable[[], None],
) -> dict[str, Baseline]:
    """The LSTM from scratch, by name: as many steps as the learner takes, and as many as do it good."""
    if protocol.scratch_tasks == 0:
        return {}
    log.info("from scratch, for comparison: rates are picked on meta-validation")
    evaluate = evaluator(validation, test, protocol.scratch_tasks, kind, device, between)
    return {
        "scratch": scratch_same_steps(shape, kind, seed, protocol.steps, protocol.steps_shown, evaluate),
        "scratch_many_steps": scratch_many_steps(shape, kind, seed, protocol.scratch_steps, evaluate),
    }
