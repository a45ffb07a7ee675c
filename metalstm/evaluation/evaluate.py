"""Meta-validation and meta-test: how well tasks that were never trained on are learned, step by step.

Legend: N tasks, P points of the adaptation curve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from metalstm.evaluation.statistics import Interval, mean_and_ci95
from metalstm.learners.objective import Kind, task_metric
from metalstm.runtime.budget import BUDGET
from metalstm.runtime.processes import SINGLE, Processes
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.examples import Examples, TaskBatch, joined
from metalstm.tasks.sampler import TaskSampler, TaskShape

# Sequences that are taken at a time where the memory budget holds them; the more, the fewer passes.
SEQUENCES_AT_A_TIME = 2000


class Adapts(Protocol):
    """The interface of whatever can be meta-tested: every learner, and the baselines."""

    def adaptation_curve(self, tasks: TaskBatch, at: Sequence[int]) -> Tensor:
        """Query predictions after each number of steps in `at`, [P, T, Q, O]."""

    def bytes_in_evaluation(self, tasks: TaskBatch) -> int:
        """Return the memory that adapting to one of these tasks takes, from their shapes."""


class Point(NamedTuple):
    """A point of an adaptation curve: the mean over tasks, and half the width of its 95% confidence interval."""

    step: int
    value: float
    ci95: float


class Curve(NamedTuple):
    """The metric of every task after each number of steps."""

    at: list[int]
    values: Tensor  # [P, N]
    units: list[int] | None = None  # [N], which unit each task is of, see `TaskBatch`; None: each is one of its own

    def points(self) -> list[Point]:
        rows = self.values.tolist()
        return [Point(step, *mean_and_ci95(row, self.units)) for step, row in zip(self.at, rows, strict=True)]

    def interval(self, step: int, unit: str | None) -> Interval:
        """Give the interval after a number of steps; `unit` is what several tasks share, see `Dataset`."""
        over, units = (
            ("task", range(self.values.shape[1])) if self.units is None or unit is None else (unit, self.units)
        )
        return Interval(over, len(set(units)), self.point(step).ci95)

    def point(self, step: int) -> Point:
        return self.points()[self.at.index(step)]


class EvaluationSetup(NamedTuple):
    """The metric, the device and the processes of an evaluation."""

    kind: Kind  # classification (accuracy) or regression (mean squared error)
    device: torch.device
    processes: Processes = SINGLE  # each takes a batch; all get the whole curve, which one process would compute


def meta_evaluate(
    learner: Adapts,
    sampler: TaskSampler,
    tasks: int,
    at: Sequence[int],
    setup: EvaluationSetup,
    between: Callable[[int], None] = lambda done: None,
    watch: Callable[[TaskBatch, Tensor], None] = lambda tasks, predictions: None,
) -> Curve:
    """Adapt to the first `tasks` tasks of a split and judges each on its query set.

    Which tasks these are depends on the sampler alone, not on how many are taken at a time: every learner that is
    evaluated with the same seed meets the same ones.

    Args:
        learner: what adapts.
        sampler: of single tasks.
        tasks: N, how many.
        at: the numbers of steps after which predictions are judged, ascending.
        setup: what is measured, where, and by which processes.
        between: called after each batch of tasks with the number done so far, e.g. to show progress.
        watch: is shown each batch of tasks that is this process's own, and the predictions for it [P, T, Q, O].
    """
    kind, device, processes = setup

    def judged(numbers: range) -> tuple[Tensor, list[int]]:
        found: list[Tensor] = []
        units: list[int] = []
        for part in within_budget(learner, sampler, numbers):
            batch = task_batch(sampler, part, part.start - numbers.start).to(device)
            predictions = learner.adaptation_curve(batch, at)
            watch(batch, predictions)
            found.append(task_metric(kind, predictions, batch.query.targets).cpu())
            units += [] if batch.units is None else batch.units.tolist()
        return torch.cat(found, dim=1), units

    values: list[Tensor] = []
    units: list[int] = []
    batches = in_batches(sampler.shape, tasks)
    for first in range(0, len(batches), processes.count):
        together = batches[first : first + processes.count]
        own = judged(together[processes.rank]) if processes.rank < len(together) else None
        parts = [part for part in processes.gathered(own) if part is not None]
        values += [metrics for metrics, _ in parts]
        units += [unit for _, of_tasks in parts for unit in of_tasks]
        between(together[-1].stop)
    # A single unit says nothing of others: the interval is then over its tasks.
    return Curve(list(at), torch.cat(values, dim=1), units if len(set(units)) > 1 else None)


def in_batches(shape: TaskShape, tasks: int) -> list[range]:
    """Return the numbers of tasks 0, 1, ..., several at a time."""
    at_a_time = max(1, SEQUENCES_AT_A_TIME // (shape.ways * (shape.shots + shape.queries)))
    return [range(start, min(start + at_a_time, tasks)) for start in range(0, tasks, at_a_time)]


def within_budget(learner: Adapts, sampler: TaskSampler, numbers: range) -> list[range]:
    """Return a batch of tasks in parts that the memory budget holds; no task's result depends on the parts."""
    size = len(numbers) * learner.bytes_in_evaluation(longest(sampler, numbers.start))
    at_a_time = BUDGET.share(len(numbers), size)
    return [numbers[first : first + at_a_time] for first in range(0, len(numbers), at_a_time)]


def longest(sampler: TaskSampler, number: int) -> TaskBatch:
    """Return the shapes of a task whose sequences are as long as any; it has no content."""
    task = sampler(number)
    steps = sampler.source.examples.shape[2] if isinstance(sampler.source, ClassDataset) else None
    support, query = (stretched(examples, steps) for examples in (task.support, task.query))
    return TaskBatch(support, query)


def stretched(examples: Examples, steps: int | None) -> Examples:
    """Return the shapes of one task's examples; `steps`: of each, None: as they are."""
    _, count, own, width = examples.inputs.shape
    inputs = torch.empty(1, count, steps or own, width, dtype=examples.inputs.dtype, device="meta")
    return Examples(inputs, examples.targets[:1].to("meta"))


def task_batch(sampler: TaskSampler, numbers: range, first: int = 0) -> TaskBatch:
    """Tasks of a sampler of single tasks, by their numbers; `first`: see `TaskBatch`."""
    singles = [sampler(number) for number in numbers]
    return TaskBatch(
        joined([task.support for task in singles]),
        joined([task.query for task in singles]),
        all_or_none([task.classes for task in singles]),
        all_or_none([task.units for task in singles]),
        first,
    )


def all_or_none(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Join what all tasks have; None where they have none."""
    there = [part for part in parts if part is not None]
    return torch.cat(there) if there else None
