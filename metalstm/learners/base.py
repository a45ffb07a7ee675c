"""The one interface by which the loop, the meta-test and the report know a learner.

Legend: T tasks, Q query examples, O outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from metalstm.config.component import ComponentSettings
from metalstm.learners import cost
from metalstm.learners.objective import Kind
from metalstm.nn.base import Model, Shape
from metalstm.tasks.examples import Examples, TaskBatch


class MetaLoss(NamedTuple):
    """The loss of a meta-batch, and each task's metrics."""

    loss: Tensor  # scalar: what the outer optimizer minimises
    metrics: dict[str, Tensor]  # per task, [T] each


class Parts(NamedTuple):
    """The plain values that a learner is made of, and a way to make models."""

    kind: Kind
    shape: Callable[[int | None], Shape]  # of a model with so many outputs; None: those of a task
    outputs: int  # of a task
    pretraining_outputs: int  # one for every meta-train class; those of a task where they mean the same in all tasks
    same_outputs: bool  # whether an output means the same in all tasks
    seed: int
    generator: torch.Generator  # of the start
    precision: torch.dtype | None  # None: float32

    def model(self, outputs: int | None = None) -> Any:
        """Make a model; 0 outputs: one that only reads, None: those of a task."""
        return self.shape(outputs).build(self.generator)


@dataclass(kw_only=True)
class LearnerSettings(ComponentSettings):
    """The settings of a learner."""

    any_ways: ClassVar[bool] = False  # whether it takes any number of classes once trained, by their support sets
    steps_are_shots: ClassVar[bool] = False  # whether it only reads: one more step of adaptation is one more shot
    trains_inner_loop: ClassVar[bool] = True  # whether it takes its inner steps in meta-training as well
    mixed_precision: ClassVar[bool] = False  # whether it can compute in another precision than float32

    @property
    def draws_batches(self) -> bool:
        """Whether the learner draws at random for each task, beside dropout masks."""
        return False

    @property
    def rates_of_steps(self) -> bool:
        """Whether each inner step has learned rates of its own."""
        return False

    def build(self, parts: Parts) -> Learner:
        """Make the learner, at its start."""
        raise NotImplementedError


class Learner(ABC, nn.Module):
    """Learns to learn. Its parameters are the meta-parameters: what the outer loop trains."""

    trains_on_all_classes = False  # whether a label in meta-training is one of all classes, not of a task's ways

    @abstractmethod
    def meta_loss(self, tasks: TaskBatch, generator: torch.Generator | None = None, progress: float = 1.0) -> MetaLoss:
        """Return the loss over a meta-batch, differentiable with respect to the meta-parameters.

        Args:
            tasks: the meta-batch.
            generator: for what the learner draws at random in training (dropout); None: nothing is drawn.
            progress: the part of the outer loop that is behind, 0 <= progress <= 1, for what changes on the way.
        """

    @abstractmethod
    def adapt(self, support: Examples, steps: int, adapted: Any = None) -> Iterator[Any]:
        """Yield the adapted weights or state of T tasks before the first step, and after each of `steps` steps.

        A step is a gradient step, or one more shot that the learner reads. Use each yielded value before asking for
        the next one.

        Args:
            support: the support sets.
            steps: how many.
            adapted: the last value of an earlier call, to go on from; None: what meta-training taught.
        """

    @abstractmethod
    def predict(self, adapted: Any, query: Any) -> Tensor:
        """Return predictions [T, Q, O] for encoded queries, from a value that `adapt` has yielded."""

    @property
    def adapted_model(self) -> Model | None:
        """The model in whose weights a task is learned; None: it is learned elsewhere."""
        return None

    @property
    def network(self) -> Model | None:
        """The model that reads sequences; None: there is none."""
        return next((module for module in self.modules() if isinstance(module, Model)), None)

    def bytes_in_training(self, tasks: TaskBatch, least: bool = False) -> int:
        """Return the memory that `meta_loss` and its gradient take for one of these tasks.

        Args:
            tasks: only their shapes count.
            least: with whatever saves memory: a sequence at a time, and more computed twice.
        """
        if self.network is None:
            return 0
        passes = [cost.bytes_of_pass(self.network, part, "once", 1 if least else None) for part in tasks[:2]]
        fixed = cost.bytes_of_inputs(self.network, tasks) + cost.bytes_of_weights(self.network)
        return fixed + (max(passes) if least else sum(passes))

    def bytes_in_evaluation(self, tasks: TaskBatch) -> int:
        """Return the memory that adapting to one of these tasks takes; its queries are answered in slices."""
        if self.network is None:
            return 0
        fixed = cost.bytes_of_inputs(self.network, tasks) + cost.bytes_of_weights(self.network)
        return fixed + cost.bytes_of_pass(self.network, tasks.support, "once")

    def start_of(self, tasks: TaskBatch) -> Any:
        """Return the weights or state that tasks start from; None: what meta-training taught."""
        return None

    @torch.no_grad()
    def adapted_to(self, support: Examples, steps: int, adapted: Any = None) -> Any:
        """Return the last value that `adapt` yields."""
        with self.rounding(support.inputs.device):
            *_, adapted = self.adapt(support, steps, adapted)
        return adapted

    def encode(self, query: Examples) -> Any:
        """Compute the part of the predictions that does not depend on adaptation, once per task."""
        return query

    def rounding(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return the context that adapting and predicting run in, such as autocast."""
        return nullcontext()

    @torch.no_grad()
    def adaptation_curve(self, tasks: TaskBatch, at: Sequence[int]) -> Tensor:
        """Query predictions after each number of steps in `at` (ascending; 0: before adapting): [len(at), T, Q, O].

        Nothing is recorded for a gradient, and memory does not grow with the steps.
        """
        with self.rounding(tasks.support.inputs.device):
            query = self.encode(tasks.query)
            learned = enumerate(self.adapt(tasks.support, max(at), self.start_of(tasks)))
            return torch.stack([self.predict(adapted, query) for step, adapted in learned if step in at])
