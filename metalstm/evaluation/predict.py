"""Predictions for examples without labels, after adapting to one support set.

Legend: Q query examples, N labels, O outputs.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metalstm.errors import DivergedError
from metalstm.evaluation.evaluate import SEQUENCES_AT_A_TIME
from metalstm.evaluation.statistics import proportion_ci95
from metalstm.files import writing
from metalstm.files.paths import PREDICTIONS
from metalstm.learners.base import Learner
from metalstm.runtime.budget import BUDGET
from metalstm.tasks.examples import Examples

SHOWN = 10  # predictions on the screen


def predict(learner: Learner, support: Examples, query: Examples, steps: int, labels: int) -> Tensor:
    """Return the probability of each label for each query example, [Q, N] float64 on the CPU.

    The learner may have more outputs than there are labels: the first ones stand for them, and the others are left out.

    Raises:
        DivergedError: a prediction is not finite.
    """
    return answers(learner, learner.adapted_to(support, steps), query)[:, :labels].softmax(dim=-1)


@torch.no_grad()
def answers(learner: Learner, adapted: Any, query: Examples) -> Tensor:
    """Return what a learner answers to the queries of a task from what it knows of it, [Q, O] float64 on the CPU.

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
            parts.append(learner.predict(adapted, learner.encode(query.chosen(which)))[0].double().cpu())
    outputs = torch.cat(parts)
    if not outputs.isfinite().all():
        raise DivergedError.of("after adapting to the support set the predictions are not finite", "use fewer steps")
    return outputs


class Predicted(NamedTuple):
    """The predictions for a person's query files."""

    names: list[str]  # of the files, Q
    labels: list[str]  # N
    probabilities: Tensor  # [Q, N]

    def predictions(self) -> list[str]:
        return [self.labels[best] for best in self.probabilities.argmax(dim=1).tolist()]

    def true_labels(self) -> list[str | None]:
        """Return the label of each file whose folder is named as one."""
        folders = [PurePosixPath(name).parent.name for name in self.names]
        return [folder if folder in self.labels else None for folder in folders]

    def accuracy(self) -> Accuracy | None:
        """Return the accuracy where each file lies in a folder named as a label; None: it cannot be known."""
        true = self.true_labels()
        if None in true:
            return None
        return Accuracy(sum(map(operator.eq, true, self.predictions())), len(true))


class Accuracy(NamedTuple):
    """So many right answers of so many."""

    correct: int
    of: int

    def interval(self) -> tuple[float, float]:
        """Return the 95% interval of the accuracy."""
        return proportion_ci95(self.correct, self.of)

    def __str__(self) -> str:
        low, high = self.interval()
        share = f"{self.correct / self.of:.2%} ({self.correct} of {self.of})"
        return f"{share}, 95% interval {low:.2%} to {high:.2%}"


def as_csv(predicted: Predicted) -> bytes:
    """Return a line for each example: its file, the label predicted, and the probability of each label."""
    lines = [["file", "prediction", *predicted.labels]]
    for name, best, row in zip(predicted.names, predicted.predictions(), predicted.probabilities.tolist(), strict=True):
        lines.append([name, best, *(f"{probability:.6f}" for probability in row)])
    return writing.as_csv(lines).encode("utf-8", errors="surrogateescape")


def records(predicted: Predicted) -> Iterator[dict[str, Any]]:
    """As `as_csv`, as mappings; with the true label where the file's folder says it."""
    for name, best, row, true in zip(
        *(predicted.names, predicted.predictions(), predicted.probabilities.tolist(), predicted.true_labels()),
        strict=True,
    ):
        shares = {label: round(probability, 6) for label, probability in zip(predicted.labels, row, strict=True)}
        yield {"file": name, "prediction": best, "label": true, "probabilities": shares}


def as_json(predicted: Predicted) -> bytes:
    """All records, and the accuracy where it can be known."""
    accuracy = predicted.accuracy()
    entry = None if accuracy is None else {**accuracy._asdict(), "interval": list(accuracy.interval())}
    content = {"accuracy": entry, "labels": predicted.labels, "predictions": list(records(predicted))}
    return (json.dumps(content, indent=1) + "\n").encode()


def as_json_lines(predicted: Predicted) -> bytes:
    return "".join(f"{json.dumps(record)}\n" for record in records(predicted)).encode()


# How predictions are written, by the file's suffix.
FORMATS = dict(zip(PREDICTIONS, (as_csv, as_json, as_json_lines), strict=True))


def as_table(predicted: Predicted, given: Sequence[int]) -> str:
    """How often each label was given and predicted, the first predictions, and the accuracy.

    Args:
        predicted: what to show.
        given: the labels of the support set, by their places.
    """
    labels = predicted.labels
    best, which = (found.tolist() for found in predicted.probabilities.max(dim=1))
    width = max(len("label"), *map(len, labels))
    lines = [f"{'label':{width}}  support  predicted"]
    lines += [f"{label:{width}}  {given.count(n):7d}  {which.count(n):9d}" for n, label in enumerate(labels)]
    lines += [
        f"{name}: {labels[n]} ({p:.0%})" for name, n, p in zip(predicted.names[:SHOWN], which, best, strict=False)
    ]
    if len(predicted.names) > SHOWN:
        lines.append(f"... {len(predicted.names) - SHOWN} more")
    return "\n".join([*lines, *accuracy_line(predicted)])


def accuracy_line(predicted: Predicted) -> list[str]:
    """Return the accuracy in a line, or why there is none."""
    accuracy = predicted.accuracy()
    if accuracy is not None:
        return [f"accuracy  {accuracy}"]
    unknown = predicted.true_labels().count(None)
    if unknown == len(predicted.names):
        return []
    return [f"accuracy  not known: {unknown} of {len(predicted.names)} files lie in no folder named as a label"]
