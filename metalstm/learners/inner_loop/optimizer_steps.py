"""Plain training on a support set with a torch optimizer: nothing is differentiated through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from metalstm.learners.base import Learner
from metalstm.learners.inner_loop.adaptation import Adaptable
from metalstm.learners.objective import Kind, task_loss
from metalstm.nn.base import Model, Weights
from metalstm.tasks.examples import Examples

OPTIMIZERS = ("sgd", "adam")

Optimizer = Literal["sgd", "adam"]
UNTIL_PICKED = {"sgd": 0.1, "adam": 1e-3}  # rates, before meta-validation has picked one


class Training(NamedTuple):
    """Weights to train, every task's by themselves, and the torch optimizer that trains them."""

    adaptable: Adaptable
    kind: Kind
    optimizer: Optimizer
    lr: float | None  # None: that of `UNTIL_PICKED`


def fine_tune(
    training: Training,
    examples: Examples,
    steps: int,
    start: Weights | None = None,
    batch: int | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[dict[str, Tensor]]:
    """Yield the weights before training and after each of `steps` steps; they are updated in place.

    Args:
        training: the weights to train, and the optimizer.
        examples: to train on.
        steps: how many.
        start: the weights to start from, [T, ...] each; None: the adaptable's own.
        batch: examples that each step sees, drawn anew; None: all.
        generator: for the batches and the dropout masks; None: neither.
    """
    adaptable, kind, optimizer, lr = training
    with torch.no_grad():
        encoded = adaptable.encode(examples)
        own = adaptable.start(encoded, examples) if start is None else start
    weights = {name: weight.detach().clone().requires_grad_() for name, weight in own.items()}
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    chosen = kinds[optimizer](list(weights.values()), lr=UNTIL_PICKED[optimizer] if lr is None else lr)
    for step in range(steps + 1):
        yield weights
        if step == steps:
            return
        seen, targets = encoded, examples.targets
        if batch is not None and generator is not None and batch < targets.shape[1]:
            part = some_of(examples, batch, generator)
            with torch.no_grad():
                seen, targets = adaptable.encode(part), part.targets
        take_step(adaptable, kind, chosen, weights, seen, targets, generator)


class OptimizerLearner(Learner):
    """A learner that learns a task by plain training.

    Args:
        adaptable: what is trained.
        kind: classification or regression.
        optimizer, lr: of the training; None: see `Training`.
    """

    def __init__(self, adaptable: Adaptable, kind: Kind, optimizer: Optimizer, lr: float | None) -> None:
        super().__init__()
        self.adaptable = adaptable
        self.kind = kind
        self.optimizer = optimizer
        self.lr = lr

    @property
    def training_on_a_task(self) -> Training:
        return Training(self.adaptable, self.kind, self.optimizer, self.lr)

    @property
    def network(self) -> Model:
        return self.adaptable.model

    def adapt(self, support: Examples, steps: int, adapted: Weights | None = None) -> Iterator[Weights]:
        return fine_tune(self.training_on_a_task, support, steps, adapted)

    def predict(self, adapted: Weights, query: Any) -> Tensor:
        return self.adaptable.outputs(query, adapted)

    def encode(self, query: Examples) -> Any:
        return self.adaptable.encode(query)


def take_step(
    adaptable: Adaptable,
    kind: Kind,
    optimizer: torch.optim.Optimizer,
    weights: Weights,
    encoded: Any,
    targets: Tensor,
    generator: torch.Generator | None,
) -> None:
    optimizer.zero_grad()
    with torch.enable_grad():
        # Summed, not averaged: the tasks share no weight, so each takes its own step.
        task_loss(kind, adaptable.outputs(encoded, weights, generator), targets).sum().backward()
    optimizer.step()


def some_of(examples: Examples, count: int, generator: torch.Generator) -> Examples:
    """Draw `count` different examples of each task."""
    keys = torch.rand(examples.targets.shape[:2], generator=generator)
    return examples.chosen(keys.topk(count, dim=1).indices.to(examples.inputs.device))
