"""The one interface by which the loop, the meta-test and the report know a learner.

Legend: T tasks, Q query examples, O outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metalstm.nn.base import Weights
from metalstm.tasks.examples import Examples, TaskBatch


class Outcome(NamedTuple):
    """What a learner makes of a meta-batch."""

    loss: Tensor  # scalar: what the outer optimizer minimises
    metrics: dict[str, Tensor]  # per task, [T] each


class Learner(ABC, nn.Module):
    """Learns to learn. Its parameters are the meta-parameters: what the outer loop trains."""

    @abstractmethod
    def meta_loss(self, tasks: TaskBatch, generator: torch.Generator | None = None, progress: float = 1.0) -> Outcome:
        """The loss over a meta-batch, differentiable with respect to the meta-parameters.

        Args:
            tasks: the meta-batch.
            generator: for what the learner draws at random in training (dropout); None: nothing is drawn.
            progress: the part of the outer loop that is behind, 0 <= progress <= 1, for what changes on the way.
        """

    @abstractmethod
    def adaptation_curve(self, tasks: TaskBatch, at: Sequence[int]) -> Tensor:
        """Query predictions after each number of steps in `at` (ascending; 0: before adapting): [len(at), T, Q, O].

        A step is what the learner takes to learn: a gradient step, or one more shot that it reads.

        Nothing is recorded for a gradient, and memory does not grow with the steps.
        """

    def adapted_weights(self, support: Examples, steps: int) -> Weights | None:
        """The model's weights after so many steps on support sets, [T, ...] each; not those that stay as they are.

        None where the learner does not keep what it has learned in the weights of a model.
        """
        return None
