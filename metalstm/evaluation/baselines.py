"""The LSTM from scratch, given a fair chance: rates and lengths are picked on meta-validation, then meta-tested."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import NamedTuple

from metalstm.evaluation.evaluate import Adapts, Curve, EvaluationSetup, meta_evaluate
from metalstm.learners.objective import Kind, is_better
from metalstm.learners.scratch import Scratch
from metalstm.nn.base import Shape
from metalstm.runtime.progress import Progress
from metalstm.tasks.sampler import TaskSampler

log = logging.getLogger(__name__)
RATES = {"sgd": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0), "adam": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)}
TUNING_TASKS = 20  # of meta-validation


def phase_names() -> list[str]:
    """Return what the phases of the baselines are called on the screen, in their order."""
    return [f"from scratch, {optimizer}{part}" for optimizer in RATES for part in (": rates", "")]


class Baseline(NamedTuple):
    """A baseline's result on meta-test, and what was picked for it on meta-validation."""

    curve: Curve
    step: int  # that its value is read after
    optimizer: str
    lr: float


def scratch_same_steps(shape: Shape, kind: Kind, seed: int, steps: int, shown: int, evaluate: Evaluate) -> Baseline:
    """From scratch by the learner's own inner loop: as many steps of gradient descent, the best fixed rate."""

    def scratch(lr: float) -> Scratch:
        return Scratch(shape, kind, "sgd", lr, seed)

    lr = best_rate("from scratch, sgd", RATES["sgd"], scratch, kind, [steps], evaluate)[0]
    return Baseline(evaluate("meta_test", scratch(lr), list(range(shown + 1))), steps, "sgd", lr)


def scratch_many_steps(shape: Shape, kind: Kind, seed: int, steps: int, evaluate: Evaluate) -> Baseline:
    """From scratch by Adam: the best rate and, among 0, 1, 2, 5, 10, ... up to `steps`, the best number of steps."""

    def scratch(lr: float) -> Scratch:
        return Scratch(shape, kind, "adam", lr, seed)

    at = one_two_five(steps)
    lr, step = best_rate("from scratch, adam", RATES["adam"], scratch, kind, at, evaluate)
    return Baseline(evaluate("meta_test", scratch(lr), at), step, "adam", lr)


# (split, what adapts, steps to judge after) to its curve on that split's tasks
Evaluate = Callable[[str, Adapts, Sequence[int]], Curve]


def evaluator(
    validation: TaskSampler,
    test: TaskSampler,
    test_tasks: int,
    setup: EvaluationSetup,
    between: Callable[[], None],
) -> Evaluate:
    """How baselines are evaluated: tuned on a few meta-validation tasks, judged on the first meta-test tasks.

    `between` is called after each batch of tasks.
    """
    samplers = {"meta_validation": (validation, TUNING_TASKS), "meta_test": (test, test_tasks)}

    def evaluate(split: str, adapts: Adapts, at: Sequence[int]) -> Curve:
        sampler, tasks = samplers[split]
        what = f"from scratch, {adapts.optimizer}" if isinstance(adapts, Scratch) else split
        with Progress(what, tasks, every=max(1, tasks // 4)) if split == "meta_test" else nullcontext() as progress:

            def after_batch(done: int) -> None:
                if progress is not None:
                    progress.advance(done)
                between()

            return meta_evaluate(adapts, sampler, tasks, at, setup, after_batch)

    return evaluate


def best_rate(
    what: str,
    rates: Sequence[float],
    make: Callable[[float], Adapts],
    kind: Kind,
    at: Sequence[int],
    evaluate: Evaluate,
) -> tuple[float, int]:
    """Return the rate and the number of steps that do best on meta-validation; `make` gives what adapts with a rate."""
    best = None
    with Progress(f"{what}: rates", len(rates), every=None) as progress:
        for number, lr in enumerate(rates, 1):
            for point in evaluate("meta_validation", make(lr), at).points():
                # NaN, where a rate made training diverge, is better than nothing.
                if best is None or is_better(kind, point.value, best[0]):
                    best = (point.value, lr, point.step)
            progress.advance(number)
    assert best is not None
    log.info("%s: rate %g, %d steps, %.4f on meta-validation", what, best[1], best[2], best[0])
    return best[1], best[2]


def one_two_five(limit: int) -> list[int]:
    """0, 1, 2, 5, 10, 20, 50, ... and the limit itself."""
    series = [digit * 10**power for power in range(len(str(limit))) for digit in (1, 2, 5)]
    return [0, *(number for number in series if number < limit), limit]
