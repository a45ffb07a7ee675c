"""The inner loop on the library `higher`, with `torch.nn.LSTM`: slower, independent, and the reference.

It shares no code with the task-batched engine but the weights, so that their agreement says something of both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import higher
import torch
from torch import Tensor, nn

from metalstm.learners.inner_loop.adaptation import Adaptable, WholeModel
from metalstm.learners.inner_loop.batched import Adapted, Order
from metalstm.learners.inner_loop.learned_rates import InnerRates
from metalstm.learners.objective import Kind, task_loss
from metalstm.nn.base import Model, Weights
from metalstm.nn.lstm import LSTMModel
from metalstm.nn.module import ModuleModel, WithHead
from metalstm.nn.torch_lstm import PlainModel, to_plain
from metalstm.tasks.examples import Examples


class HigherEngine:
    """Adapts one task at a time.

    Raises:
        ValueError: a model with dropout, whose masks `torch.nn.LSTM` would draw from the global generator; or anything
            but an LSTM of which every weight adapts from its own.
    """

    most_tasks: int | None = 1

    def __init__(self, adaptable: Adaptable, rates: InnerRates, kind: Kind) -> None:
        model = adaptable.model
        if type(adaptable) is not WholeModel or not isinstance(model, (LSTMModel, ModuleModel)):
            raise ValueError("the engine `higher` adapts every weight of an LSTM, or of a module of one's own")
        if model.shape.dropout > 0:
            raise ValueError("the engine `higher` has no dropout")
        self.model = model
        self.rates = rates
        self.kind = kind
        start = model.head_weight
        self.to_plain: Callable[[Weights], dict[str, Tensor]]
        if isinstance(model, ModuleModel):
            with torch.random.fork_rng(devices=[]):
                plain: nn.Module = WithHead(model.shape)
            self.to_plain = WithHead.names
        else:
            plain = PlainModel(model.shape)
            self.to_plain = partial(to_plain, model.shape)
        self.plain = plain.to(start.device, start.dtype)

    def adapt(
        self,
        support: Examples,
        steps: int,
        order: Order,
        generator: torch.Generator | None = None,
        start: Weights | None = None,
    ) -> Iterator[Adapted]:
        names = [name for name, _ in self.plain.named_parameters()]
        fast = higher.patch.monkeypatch(self.plain, copy_initial_weights=False, track_higher_grads=order != "none")
        # One group a weight, so that each can have a rate of its own; the rate given here is overridden in each step.
        sgd = torch.optim.SGD([{"params": [weight]} for weight in self.plain.parameters()], lr=1.0)
        inner = higher.optim.DifferentiableSGD(
            sgd, list(self.plain.parameters()), fast, track_higher_grads=order != "none"
        )
        start = self.to_plain(dict(self.model.named_parameters())) if start is None else start
        params = [start[name] for name in names]

        # cuDNN's recurrent layers have no second derivative.
        with torch.backends.cudnn.flags(enabled=False):
            for step in range(steps + 1):
                if order == "none":
                    params = [weight.detach().requires_grad_() for weight in params]
                weights = dict(zip(names, params, strict=True))
                yield Adapted(weights, partial(self.predict, fast))
                if step == steps:
                    return
                rates = self.to_plain(broadcastable(self.rates(step), self.model))
                with torch.enable_grad():
                    loss = task_loss(self.kind, self.predict(fast, weights, support), support.targets).sum()
                    params = list(
                        inner.step(
                            loss,
                            params=params,
                            override={"lr": [rates[name] for name in names]},
                            grad_callback=detached if order == "first" else None,
                        )
                    )

    def encode(self, examples: Examples, generator: torch.Generator | None = None) -> Examples:
        return examples

    @staticmethod
    def predict(fast: nn.Module, weights: Weights, examples: Examples) -> Tensor:
        """Return the answers of a patched module with these weights to the B examples of one task, [1, B, O]."""
        lengths = None if examples.lengths is None else examples.lengths.squeeze(0)
        outputs: Tensor = fast(examples.inputs.squeeze(0), lengths, params=tuple(weights.values()))
        return outputs.unsqueeze(0)


def detached(gradients: list[Tensor]) -> list[Tensor]:
    """First order: the inner gradients as constants."""
    return [gradient.detach() for gradient in gradients]


def broadcastable(rates: dict[str, Tensor], model: Model) -> dict[str, Tensor]:
    """Rates in their weights' shapes, precision and place, so that they can be cut up as the weights are."""
    return {name: rates[name].to(weight).expand_as(weight) for name, weight in model.named_parameters()}
