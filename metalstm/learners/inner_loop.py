"""The inner loop: a model adapts to support sets by gradient steps. One loop for training and for testing.

Legend: T tasks, B examples, S time steps, F features, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, Protocol

import torch
from torch import Tensor

from metalstm.learners.objective import Kind, task_loss
from metalstm.learners.rates import InnerRates
from metalstm.nn.model import LSTMModel, Weights
from metalstm.tasks.examples import Examples

# How far the adaptation can be differentiated: not at all (testing), with the inner gradients taken as constants (Finn
# et al. 2017, section 5.2), or through the inner gradients as well.
Order = Literal["none", "first", "second"]
Predict = Callable[[Tensor], Tensor]  # inputs [T, B, S, F] to outputs [T, B, O]


class Engine(Protocol):
    """A way to run the inner loop."""

    one_task_at_a_time: bool  # support sets must hold a single task

    def adapt(
        self, support: Examples, steps: int, order: Order, generator: torch.Generator | None = None
    ) -> Iterator[Predict]:
        """Yields the model before adapting and after each of `steps` steps, as a function from inputs to outputs."""


class BatchedEngine:
    """Adapts all tasks at once: every weight has a tasks axis, and a step of all tasks is one tensor program."""

    one_task_at_a_time = False

    def __init__(self, model: LSTMModel, rates: InnerRates, kind: Kind) -> None:
        self.model = model
        self.rates = rates
        self.kind = kind

    def adapt(
        self, support: Examples, steps: int, order: Order, generator: torch.Generator | None = None
    ) -> Iterator[Predict]:
        model = self.model
        prepared = model.prepare(support.inputs)
        weights = model.start(len(support.inputs))
        for step in range(steps + 1):
            if order == "none":
                weights = {name: weight.detach().requires_grad_() for name, weight in weights.items()}
            yield partial(self.predict, weights, generator)
            if step == steps:
                return
            # Inner update, Finn et al. 2017, Algorithm 2, line 6.
            with torch.enable_grad():
                losses = task_loss(self.kind, model.answer(prepared, weights, generator), support.targets)
                gradients = torch.autograd.grad(losses.sum(), list(weights.values()), create_graph=order == "second")
            rates = self.rates(step)
            with torch.set_grad_enabled(order != "none"):
                weights = {
                    name: weight - rates[name] * gradient
                    for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
                }

    def predict(self, weights: Weights, generator: torch.Generator | None, inputs: Tensor) -> Tensor:
        return self.model.answer(self.model.prepare(inputs), weights, generator)
