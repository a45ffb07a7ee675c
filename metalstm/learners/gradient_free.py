"""Learners that only read their support set: nothing is trained at meta-test, and a step is one more shot.

Legend: T tasks, K support examples, Q query examples, B examples, W features, O outputs.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from metalstm.learners.base import Learner, MetaLoss
from metalstm.learners.inner_loop.adaptation import read_by_all
from metalstm.learners.objective import Kind, task_loss, task_metrics
from metalstm.nn.base import Model
from metalstm.tasks.examples import Examples, TaskBatch


class GradientFreeLearner(Learner):
    """An encoder reads every example by itself; `read` learns from the support set, `predict` makes predictions.

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
    def read(
        self, support: Tensor, targets: Tensor, adapted: Any = None, generator: torch.Generator | None = None
    ) -> Any:
        """Return what is known after reading support sets.

        Args:
            support: [T, K, W] features; K may be 0.
            targets: theirs.
            known: what was known before; None: nothing.
            generator: for what is drawn at random in training.
        """

    @abstractmethod
    def predict(self, adapted: Any, query: Tensor) -> Tensor:
        """Predictions [T, Q, O] for the features [T, Q, W] of queries, from what `read` has given."""

    def encode(self, query: Examples) -> Tensor:
        return read_by_all(self.encoder, query)

    def meta_loss(self, tasks: TaskBatch, generator: torch.Generator | None = None, progress: float = 1.0) -> MetaLoss:
        support, query = (read_by_all(self.encoder, examples, generator) for examples in tasks[:2])
        outputs = self.predict(self.read(support, tasks.support.targets, generator=generator), query)
        losses = task_loss(self.kind, outputs, tasks.query.targets)
        return MetaLoss(losses.mean(), task_metrics(self.kind, losses, outputs, tasks.query.targets))

    def adapt(self, support: Examples, steps: int, adapted: Any = None) -> Iterator[Any]:
        """Yield what is known after the first shots of every class; `ValueError` where the support set holds fewer."""
        features, targets = read_by_all(self.encoder, support), support.targets
        for shots in range(steps + 1):
            which = self.first_shots(targets, shots)
            task = torch.arange(len(which), device=which.device).unsqueeze(1)
            yield self.read(features[task, which], targets[task, which], adapted)

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
        """Return what is known of the answers, as numbers to read: [T, K, O]; labels become one-hot."""
        if self.kind == "classification":
            targets = functional.one_hot(targets, self.outputs)
        return targets.to(like.dtype)
