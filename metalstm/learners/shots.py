"""Learners that only read their support set: nothing is trained at meta-test, and a step is one more shot.

Legend: T tasks, K support examples, Q query examples, B examples, W features, O outputs.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from metalstm.learners.adaptable import read_by_all
from metalstm.learners.base import Learner, Outcome
from metalstm.learners.objective import Kind, task_loss, task_metrics
from metalstm.nn.base import Model
from metalstm.tasks.examples import TaskBatch


class ShotLearner(Learner):
    """An encoder reads every example by itself; `answers` makes predictions of what the support set says.

    Args:
        encoder: a model without a head.
        kind: classification or regression.
        outputs: O, ways or the numbers to predict.
    """

    def __init__(self, encoder: Model, kind: Kind, outputs: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.kind = kind
        self.outputs = outputs

    @abstractmethod
    def answers(
        self, support: Tensor, targets: Tensor, query: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Predictions for queries.

        Args:
            support: [T, K, W] features; K may be 0.
            targets: theirs.
            query: [T, Q, W] features.
            generator: for what is drawn at random in training.

        Returns:
            [T, Q, O].
        """

    def meta_loss(self, tasks: TaskBatch, generator: torch.Generator | None = None, progress: float = 1.0) -> Outcome:
        support, query = (read_by_all(self.encoder, examples, generator) for examples in tasks[:2])
        outputs = self.answers(support, tasks.support.targets, query, generator)
        losses = task_loss(self.kind, outputs, tasks.query.targets)
        return Outcome(losses.mean(), task_metrics(self.kind, losses, outputs, tasks.query.targets))

    @torch.no_grad()
    def adaptation_curve(self, tasks: TaskBatch, at: Sequence[int]) -> Tensor:
        """Predictions after the first shots of every class; `ValueError` where the support set holds fewer."""
        query = read_by_all(self.encoder, tasks.query)
        support, targets = read_by_all(self.encoder, tasks.support), tasks.support.targets
        predictions = []
        for shots in at:
            which = self.first_shots(targets, shots)
            task = torch.arange(len(which), device=which.device).unsqueeze(1)
            predictions.append(self.answers(support[task, which], targets[task, which], query))
        return torch.stack(predictions)

    def first_shots(self, targets: Tensor, shots: int) -> Tensor:
        """Which examples are the first `shots` of their class, or all where it has fewer: [T, as many]."""
        if self.kind == "regression":
            number = torch.arange(targets.shape[1], device=targets.device).expand(targets.shape[:2])
        else:
            members = functional.one_hot(targets, self.outputs)
            number = members.cumsum(dim=1).gather(2, targets.unsqueeze(-1)).squeeze(-1) - 1
        chosen = (number < shots).sum(dim=1)
        if shots > number.max() + 1 or (chosen != chosen[0]).any():
            raise ValueError(f"{shots} shots are to be read, but the support sets of {targets.shape[1]} hold fewer")
        return (number >= shots).int().argsort(dim=1, stable=True)[:, : int(chosen[0])]

    def as_numbers(self, targets: Tensor, like: Tensor) -> Tensor:
        """What is known of the answers, as numbers to read: [T, K, O]; labels become one-hot."""
        if self.kind == "classification":
            targets = functional.one_hot(targets, self.outputs)
        return targets.to(like.dtype)
