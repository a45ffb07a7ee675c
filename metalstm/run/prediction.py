"""Predictions for examples without labels, after adapting to one support set.

Legend: Q query examples, N labels, O outputs.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metalstm.errors import DivergedError
from metalstm.learners.base import Learner
from metalstm.nn.budget import BUDGET
from metalstm.run.evaluation import SEQUENCES_AT_A_TIME
from metalstm.tasks.examples import Examples

SHOWN = 10  # predictions on the screen


def predict(learner: Learner, support: Examples, query: Examples, steps: int, labels: int) -> Tensor:
    """The probability of each label for each query example, [Q, N] float64 on the CPU.

    The learner may have more outputs than there are labels: the first ones stand for them, and the others are left out.

    Raises:
        DivergedError: a prediction is not finite.
    """
    return answers(learner, learner.learn(support, steps), query)[:, :labels].softmax(dim=-1)


@torch.no_grad()
def answers(learner: Learner, known: Any, query: Examples) -> Tensor:
    """What a learner answers to the queries of a task from what it knows of it, [Q, O] float64 on the CPU.

    Raises:
        DivergedError: an answer is not finite.
    """
    count, device = query.inputs.shape[1], query.inputs.device
    copies = 2 if learner.network is None else 2 + learner.network.layouts
    at_a_time = min(SEQUENCES_AT_A_TIME, max(1, BUDGET.share(count, copies * query.inputs.nbytes)))
    parts = []
    with learner.rounding(device):
        for start in range(0, count, at_a_time):
            which = torch.arange(start, min(start + at_a_time, count), device=device).unsqueeze(0)
            parts.append(learner.answer(known, learner.lay_out(query.chosen(which)))[0].double().cpu())
    outputs = torch.cat(parts)
    if not outputs.isfinite().all():
        raise DivergedError.of("after adapting to the support set the predictions are not finite", "use fewer steps")
    return outputs


def as_csv(names: Sequence[str], labels: Sequence[str], probabilities: Tensor) -> bytes:
    """A line for each example: its file, the label predicted, and the probability of each label."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "prediction", *labels])
    for name, best, row in zip(names, probabilities.argmax(dim=1).tolist(), probabilities.tolist(), strict=True):
        writer.writerow([name, labels[best], *(f"{probability:.6f}" for probability in row)])
    return text.getvalue().encode("utf-8", errors="surrogateescape")


def as_table(names: Sequence[str], labels: Sequence[str], given: Sequence[int], probabilities: Tensor) -> str:
    """How often each label was given and predicted, and the first predictions."""
    best, which = (found.tolist() for found in probabilities.max(dim=1))
    width = max(len("label"), *map(len, labels))
    lines = [f"{'label':{width}}  support  predicted"]
    lines += [f"{label:{width}}  {given.count(n):7d}  {which.count(n):9d}" for n, label in enumerate(labels)]
    lines += [f"{name}: {labels[n]} ({p:.0%})" for name, n, p in zip(names[:SHOWN], which, best, strict=False)]
    if len(names) > SHOWN:
        lines.append(f"... {len(names) - SHOWN} more")
    return "\n".join(lines)
