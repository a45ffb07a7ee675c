"""The inner loop: a model adapts to support sets by gradient steps. One loop for training and for testing.

Legend: T tasks, B examples, S time steps, F features, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from metalstm.learners.inner_loop.adaptation import Adaptable
from metalstm.learners.inner_loop.gradient_step import descend
from metalstm.learners.inner_loop.learned_rates import InnerRates
from metalstm.learners.inner_loop.recompute import recomputed
from metalstm.learners.objective import Kind, task_loss
from metalstm.nn.base import Weights
from metalstm.tasks.examples import Examples

# How far the adaptation can be differentiated: not at all (testing), with the inner gradients taken as constants (Finn
# et al. 2017, section 5.2), or through the inner gradients as well, which are remembered or computed again.
Order = Literal["none", "first", "second", "recomputed"]


class Adapted(NamedTuple):
    """A model as it is after some inner steps: from B examples of T tasks, laid out, to outputs [T, B, O]."""

    weights: Weights
    predict: Callable[[Weights, Any], Tensor]

    def __call__(self, encoded: Any) -> Tensor:
        return self.predict(self.weights, encoded)


class Engine(Protocol):
    """A way to run the inner loop."""

    @property
    def most_tasks(self) -> int | None:
        """How many tasks support sets may hold; None: any number."""

    def encode(self, examples: Examples, generator: torch.Generator | None = None) -> Any:
        """Compute the part of the features that does not depend on adapted weights, once for all inner steps."""

    def adapt(
        self,
        support: Examples,
        steps: int,
        order: Order,
        generator: torch.Generator | None = None,
        start: Weights | None = None,
    ) -> Iterator[Adapted]:
        """Yield the model before adapting and after each of `steps` steps.

        Args:
            support: to adapt to.
            steps: how many.
            order: how far the adaptation can be differentiated.
            generator: for dropout masks; None: no dropout.
            start: weights that this engine has yielded, to go on from; None: the adaptable's own.
        """


class BatchedEngine:
    """Adapts all tasks at once: every weight has a tasks axis, and a step of all tasks is one tensor program.

    Args:
        adaptable: what adapts.
        rates: of the inner steps.
        kind: classification or regression.
        recompute: keep of each inner step but its weights, and compute the rest again when it is differentiated:
            memory for a third more time, for many inner steps.
    """

    most_tasks: int | None = None

    def __init__(self, adaptable: Adaptable, rates: InnerRates, kind: Kind, recompute: bool = False) -> None:
        self.adaptable = adaptable
        self.rates = rates
        self.kind = kind
        self.recompute = recompute

    def adapt(
        self,
        support: Examples,
        steps: int,
        order: Order,
        generator: torch.Generator | None = None,
        start: Weights | None = None,
    ) -> Iterator[Adapted]:
        with torch.set_grad_enabled(order != "none"):
            encoded = self.adaptable.encode(support, generator)
            weights = self.adaptable.start(encoded, support) if start is None else start
        for step in range(steps + 1):
            if order == "none":
                weights = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
            yield Adapted(weights, partial(self.predict, generator))
            if step == steps:
                return
            update = partial(self.update, encoded, support.targets)
            rates = self.rates(step)
            if order == "recomputed" or (self.recompute and order == "second"):
                weights = recomputed(update, weights, rates, generator)
            else:
                with torch.set_grad_enabled(order != "none"):
                    weights = update(weights, rates, order, generator)

    def update(
        self, encoded: Any, targets: Tensor, weights: Weights, rates: Weights, order: Order,
        generator: torch.Generator | None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """Return the weights after one step of gradient descent on the support loss."""
        with torch.enable_grad():
            losses = task_loss(self.kind, self.adaptable.outputs(encoded, weights, generator), targets)
            gradients = torch.autograd.grad(losses.sum(), list(weights.values()), create_graph=order == "second")
        return descend(weights, rates, gradients)

    def encode(self, examples: Examples, generator: torch.Generator | None = None) -> Any:
        return self.adaptable.encode(examples, generator)

    def predict(self, generator: torch.Generator | None, weights: Weights, encoded: Any) -> Tensor:
        return self.adaptable.outputs(encoded, weights, generator)
