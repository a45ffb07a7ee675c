"""Whether a learner does better than chance, or in regression than the mean of the support targets."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from metalstm.evaluation.statistics import mean_and_ci95
from metalstm.learners.objective import Kind
from metalstm.tasks.examples import TaskBatch

log = logging.getLogger(__name__)

WINDOW = 200  # steps that are looked at, the last ones
FEWEST = 10  # values that an interval is told by
MARGIN = 0.05  # of accuracy, or of the mean's error: closer is no better


def mean_error(tasks: TaskBatch) -> Tensor:
    """[T]: the mean squared error of the mean of each task's support targets, on its query set."""
    return (tasks.query.targets - tasks.support.targets.mean(dim=1, keepdim=True)).square().mean(dim=(1, 2))


def gains(kind: Kind, values: Tensor, ways: int, errors: Tensor | None = None) -> Tensor:
    """[N]: how much better values are than chance; in regression, what part of the mean's error is gone."""
    if kind == "classification":
        return values.double() - 1 / ways
    assert errors is not None
    errors = errors.double()
    return (errors - values) / errors.mean()


def is_chance(found: Tensor, ways: int) -> bool:
    """Whether gains [N] are none: what they are at most is hardly more than nothing."""
    if len(found) < FEWEST:
        return False
    mean, half = mean_and_ci95(found.tolist())
    return mean + half < min(MARGIN, 0.5 / ways)


def describe(kind: Kind, value: float, ways: int) -> str:
    """Return what no better than chance means, in words."""
    if kind == "classification":
        return f"accuracy {value:.1%} is that of guessing one of {ways} ({1 / ways:.1%})"
    return f"mse {value:.4g} is no better than the mean of the support targets"


def warn_of_chance(when: str, kind: Kind, values: Tensor, ways: int, errors: Tensor | None = None) -> None:
    """Says if values [N] are no better than chance."""
    if is_chance(gains(kind, values, ways, errors), ways):
        log.warning("%s %s", when, describe(kind, values.double().mean().item(), ways))


class ChanceWatch:
    """Says after a tenth of meta-training if what is trained does no better than chance so far.

    Args:
        kind: classification or regression.
        ways: that a label is one of.
        steps: of meta-training.
    """

    def __init__(self, kind: Kind, ways: int, steps: int) -> None:
        self.kind = kind
        self.ways = ways
        self.steps = steps
        self.due = max(FEWEST, steps // 10)
        self.first = max(0, self.due - min(WINDOW, max(FEWEST, self.due // 2)))  # the last one that is not looked at
        self.values: list[float] = []
        self.errors: list[float] = []

    def see(self, step: int, value: float, tasks: TaskBatch) -> None:
        """Take the metric of a step's tasks."""
        if not self.first < step <= self.due:
            return
        self.values.append(value)
        if self.kind == "regression":
            self.errors.append(mean_error(tasks).mean().item())
        if step == self.due:
            when = f"after {step} of {self.steps} steps nothing is learned yet: meta-train"
            warn_of_chance(when, self.kind, torch.tensor(self.values), self.ways, torch.tensor(self.errors))
