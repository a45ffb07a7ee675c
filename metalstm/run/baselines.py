"""The LSTM from scratch, given a fair chance: rates and lengths are picked on meta-validation, then meta-tested."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch

from metalstm.learners.objective import Kind
from metalstm.learners.scratch import Scratch
from metalstm.nn.model import ModelShape
from metalstm.run.evaluation import Curve, meta_evaluate
from metalstm.tasks.sampler import TaskSampler

log = logging.getLogger(__name__)

SGD_RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
ADAM_RATES = (1e-3, 3e-3, 1e-2, 3e-2)
TUNING_TASKS = 20  # of meta-validation


class Baseline(NamedTuple):
    """A baseline's result on meta-test, and what was picked for it on meta-validation."""

    curve: Curve
    step: int  # that its value is read after
    optimizer: str
    lr: float


def scratch_same_steps(
    shape: ModelShape, kind: Kind, seed: int, steps: int, shown: int, evaluate: Evaluate
) -> Baseline:
    """From scratch by the learner's own inner loop: as many steps of gradient descent, the best fixed rate."""
    lr = best_rate(shape, kind, seed, "sgd", SGD_RATES, [steps], evaluate)[0]
    curve = evaluate("meta_test", Scratch(shape, kind, "sgd", lr, seed), list(range(shown + 1)))
    return Baseline(curve, steps, "sgd", lr)


def scratch_many_steps(shape: ModelShape, kind: Kind, seed: int, steps: int, evaluate: Evaluate) -> Baseline:
    """From scratch by Adam: the best rate and, among 0, 1, 2, 5, 10, ... up to `steps`, the best number of steps."""
    at = one_two_five(steps)
    lr, step = best_rate(shape, kind, seed, "adam", ADAM_RATES, at, evaluate)
    curve = evaluate("meta_test", Scratch(shape, kind, "adam", lr, seed), at)
    return Baseline(curve, step, "adam", lr)


# (split, what adapts, steps to judge after) to its curve on that split's tasks
Evaluate = Callable[[str, Scratch, Sequence[int]], Curve]


def evaluator(
    validation: TaskSampler,
    test: TaskSampler,
    test_tasks: int,
    kind: Kind,
    device: torch.device,
    between: Callable[[], None],
) -> Evaluate:
    """How baselines are evaluated: tuned on a few meta-validation tasks, judged on the first meta-test tasks.

    `between` is called after each batch of tasks.
    """
    samplers = {"meta_validation": (validation, TUNING_TASKS), "meta_test": (test, test_tasks)}

    def evaluate(split: str, scratch: Scratch, at: Sequence[int]) -> Curve:
        sampler, tasks = samplers[split]
        return meta_evaluate(scratch, sampler, tasks, at, kind, device, lambda done: between())

    return evaluate


def best_rate(
    shape: ModelShape,
    kind: Kind,
    seed: int,
    optimizer: Literal["sgd", "adam"],
    rates: Sequence[float],
    at: Sequence[int],
    evaluate: Evaluate,
) -> tuple[float, int]:
    """The rate and the number of steps that do best on meta-validation."""
    best = None
    for lr in rates:
        for point in evaluate("meta_validation", Scratch(shape, kind, optimizer, lr, seed), at).points():
            # NaN, where a rate made training diverge, is better than nothing.
            if best is None or is_better(kind, point.value, best[0]):
                best = (point.value, lr, point.step)
    assert best is not None
    log.info("from scratch, %s: rate %g, %d steps, %.4f on meta-validation", optimizer, best[1], best[2], best[0])
    return best[1], best[2]


def is_better(kind: Kind, value: float, than: float) -> bool:
    """Higher accuracy, lower error; any number is better than NaN."""
    if than != than:
        return value == value
    return value > than if kind == "classification" else value < than


def one_two_five(limit: int) -> list[int]:
    """0, 1, 2, 5, 10, 20, 50, ... and the limit itself."""
    series = [digit * 10**power for power in range(len(str(limit))) for digit in (1, 2, 5)]
    return [0, *(number for number in series if number < limit), limit]
