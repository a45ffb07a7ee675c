"""The lifelong protocol: tasks arrive one after another, and all of them are asked for again after each.

Legend: L tasks of a stream, R streams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metalstm.evaluation.meta_test import Evaluator
from metalstm.evaluation.statistics import mean_and_ci95
from metalstm.learners.base import Learner
from metalstm.learners.objective import Kind, task_metric
from metalstm.tasks.examples import Examples, TaskBatch, joined
from metalstm.tasks.streams import Streams

# When a task arrives, adaptation goes on from where it is; or it begins again from the meta-trained start; or it learns
# the support sets of all tasks so far together, from that start.
MODES = ("carry", "reset", "replay")


class Lifelong(NamedTuple):
    """The metric of task j (from 0) after the first i tasks, [L + 1, L, R], in one mode."""

    values: Tensor

    def final(self) -> Tensor:
        """Return the mean over all tasks after the last one, [R]."""
        return self.values[-1].mean(dim=0)

    def learned(self) -> Tensor:
        """Return the mean over tasks, each right after it was learned, [R]."""
        return self.values[1:].diagonal().mean(dim=-1)

    def backward_transfer(self) -> Tensor:
        """Return what later tasks did to earlier ones, [R].

        It is the mean of A[L, j] - A[j + 1, j] (Lopez-Paz & Ranzato 2017).
        """
        return (self.values[-1, :-1] - self.values[1:-1].diagonal().T).mean(dim=0)

    def forward_transfer(self) -> Tensor:
        """Return what earlier tasks did to later ones before they were learned, [R].

        Mean of A[j, j] - A[0, j], j > 0.
        """
        return (self.values[1:-1, 1:].diagonal().T - self.values[0, 1:]).mean(dim=0)

    def entry(self) -> dict[str, Any]:
        """In numbers, for a result file."""
        summaries = {
            "final": self.final(),
            "learned": self.learned(),
            "backward_transfer": self.backward_transfer(),
            "forward_transfer": self.forward_transfer(),
        }
        found: dict[str, Any] = {}
        for name, values in summaries.items():
            mean, half = mean_and_ci95(values.tolist())
            found[name] = {"value": mean, "ci95": half}
        matrix = [[round(value, 6) for value in row] for row in self.values.mean(dim=-1).tolist()]
        return found | {"matrix": matrix}


def run_stream(
    learner: Learner,
    streams: Streams,
    count: int,
    mode: str,
    evaluator: Evaluator,
    after: Callable[[int], None] = lambda done: None,
) -> Lifelong:
    """Send a learner through streams.

    Args:
        learner: what learns.
        streams: of tasks.
        count: R >= 2.
        mode: one of `MODES`.
        evaluator: its protocol says how many steps a task is adapted to; a learner that reads, reads all there is.
        after: called after each stream with the number done so far.
    """
    found = []
    for number in range(count):
        tasks = [task.to(evaluator.setup.device) for task in streams(number)]
        shots = evaluator.protocol.step_unit == "shot"
        found.append(run_stream_once(learner, tasks, mode, evaluator.protocol.steps, shots, evaluator.setup.kind).cpu())
        after(number + 1)
    return Lifelong(torch.stack(found, dim=-1))


@torch.no_grad()
def run_stream_once(
    learner: Learner, tasks: Sequence[TaskBatch], mode: str, steps: int, steps_are_shots: bool, kind: Kind
) -> Tensor:
    """One stream: the metric of every task before the first and after each, [L + 1, L]."""
    with learner.rounding(tasks[0].support.inputs.device):
        queries = [learner.encode(task.query) for task in tasks]

        def metrics(adapted: Any) -> Tensor:
            answers = [learner.predict(adapted, query) for query in queries]
            found = [task_metric(kind, given, task.query.targets) for given, task in zip(answers, tasks, strict=True)]
            return torch.cat(found)

        def learned(sets: Sequence[Examples], adapted: Any) -> Any:
            return learner.adapted_to(joined(sets, dim=1), steps * (len(sets) if steps_are_shots else 1), adapted)

        rows = [metrics(learner.adapted_to(tasks[0].support, 0))]
        adapted = None
        for number, task in enumerate(tasks):
            sets = [earlier.support for earlier in tasks[: number + 1]] if mode == "replay" else [task.support]
            adapted = learned(sets, adapted if mode == "carry" else None)
            rows.append(metrics(adapted))
        return torch.stack(rows)
