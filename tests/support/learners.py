"""Learners small enough to be written out, the tasks that they learn, and what several tests compare them with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.inner_loop.learned_rates import LearnedRates
from metalstm.learners.maml import MAML, Computing
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.tasks.examples import Examples, TaskBatch
from support.tensors import randomise

OUTPUTS = {"classification": 3, "regression": 2}
LOSSES = {"classification": functional.cross_entropy, "regression": functional.mse_loss}
LSTM_WEIGHTS = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
STEPS, FEATURES = 5, 4

each_kind = pytest.mark.parametrize("kind", ["classification", "regression"])
each_order = pytest.mark.parametrize("order", ["first", "second"])
each_rates = pytest.mark.parametrize("learned_rates", get_args(LearnedRates))


def make_tasks(
    kind: str = "classification", tasks: int = 3, dtype: torch.dtype = torch.float64, ragged: bool = False
) -> TaskBatch:
    """Tasks that can be learned, the same numbers for every dtype.

    Classification: each task has 3 noisy prototypes. Regression: each task has a linear map of its own. `ragged`: most
    sequences end early, and what lies beyond the end is not a number.
    """
    generator = torch.Generator().manual_seed(5)
    ways = OUTPUTS[kind]
    prototypes = torch.randn(tasks, ways, STEPS, FEATURES, generator=generator)
    maps = torch.randn(tasks, STEPS * FEATURES, ways, generator=generator) / 4

    def examples(per_class: int) -> Examples:
        labels = torch.arange(ways).repeat_interleave(per_class).expand(tasks, -1)
        noise = torch.randn(tasks, ways * per_class, STEPS, FEATURES, generator=generator)
        inputs = prototypes[:, labels[0]] + 0.3 * noise
        targets = labels.clone() if kind == "classification" else (inputs.flatten(2) @ maps).to(dtype)
        if not ragged:
            return Examples(inputs.to(dtype), targets)
        lengths = torch.randint(1, STEPS + 1, labels.shape, generator=generator)
        beyond = torch.arange(STEPS) >= lengths.unsqueeze(-1)
        return Examples(inputs.to(dtype).masked_fill(beyond.unsqueeze(-1), torch.nan), targets, lengths)

    return TaskBatch(examples(2), examples(4))


def spread_rates(learner: MAML, generator: torch.Generator) -> None:
    """Make no learned rate equal to another."""
    with torch.no_grad():
        for rate in learner.rates.parameters():
            rate *= 0.4 + 1.2 * torch.rand(rate.shape, generator=generator)


def computed(settings: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `MAML` with those of `Computing` among them."""
    names = {field.name for field in fields(Computing)}
    computing = Computing(**{name: value for name, value in settings.items() if name in names})
    return {name: value for name, value in settings.items() if name not in names} | {"computing": computing}


def make_maml(
    inner_steps: int,
    *,
    kind: str = "classification",
    order: str = "second",
    learned_rates: str = "none",
    engine: str = "batched",
    task_chunk_size: int | None = None,
    recompute: bool = False,
    precision: torch.dtype | None = None,
    dtype: torch.dtype = torch.float64,
    **shape: object,
) -> MAML:
    """A learner in which no weight and no learned rate is equal to another."""
    generator = torch.Generator().manual_seed(7)
    sizes = ModelShape(FEATURES, OUTPUTS[kind], **{"hidden_size": 6, "layer_norm": True} | shape)
    learner = MAML(
        WholeModel(LSTMModel(sizes, generator)),
        kind,
        inner_steps,
        inner_lr=0.3,
        learned_rates=learned_rates,
        order=order,
        computing=Computing(
            engine=engine, task_chunk_size=task_chunk_size, gradient_checkpointing=recompute, precision=precision
        ),
    )
    randomise(learner.model, 0.5, generator)
    spread_rates(learner, generator)
    return learner.to(dtype)


def gradient(learner: nn.Module, loss: Tensor, unused: bool = False) -> dict[str, Tensor]:
    """The gradient with respect to every trained weight that is not empty, by name.

    `unused`: zero where the loss does not depend on a weight, which is refused otherwise.
    """
    weights = {name: weight for name, weight in learner.named_parameters() if weight.requires_grad and weight.numel()}
    found = torch.autograd.grad(loss, list(weights.values()), materialize_grads=unused, allow_unused=unused)
    return dict(zip(weights, found, strict=True))


def assert_slope(learner: nn.Module, loss: Callable[[], Tensor], unused: bool = False) -> None:
    """Compare the gradient along a random direction with a finite difference of the loss."""
    found = gradient(learner, loss(), unused)
    weights = dict(learner.named_parameters())
    generator = torch.Generator().manual_seed(0)
    direction = {name: torch.randn(value.shape, generator=generator) for name, value in found.items()}

    def loss_at(distance: float) -> float:
        with torch.no_grad():
            for name, way in direction.items():
                weights[name] += distance * way
        value = loss().item()
        with torch.no_grad():
            for name, way in direction.items():
                weights[name] -= distance * way
        return value

    slope = sum(float((direction[name] * value).sum()) for name, value in found.items())
    assert (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5 == pytest.approx(slope, rel=1e-5)


def meta_gradient(learner: MAML, tasks: TaskBatch) -> dict[str, Tensor]:
    """The gradient of the meta-loss with respect to every meta-parameter, by name."""
    return gradient(learner, learner.meta_loss(tasks).loss)


def from_start(gradient: dict[str, Tensor], start: dict[str, Tensor]) -> list[Tensor]:
    """The gradient less that without adaptation: else parity could be that of the plain query loss."""
    return [value - start[name] if name in start else value for name, value in gradient.items()]


def torch_features(weights: dict[str, Tensor], inputs: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The normalised last states of an `nn.LSTM`, sequence by sequence: [B, S, F] to [B, H]."""
    own = {name: weights[name][0] for name in LSTM_WEIGHTS}
    hidden = own["weight_hh_l0"].shape[1]
    lstm = nn.LSTM(inputs.shape[-1], hidden, batch_first=True)
    last = []
    for place, sequence in enumerate(inputs):
        real = sequence if lengths is None else sequence[: int(lengths[place])]
        _, (h, _) = torch.func.functional_call(lstm, own, (real.unsqueeze(0),))
        last.append(h[0, 0])
    return functional.layer_norm(torch.stack(last), (hidden,), weights["norm_weight"], weights["norm_bias"])


def features_of(encoder: nn.Module, examples: Examples, task: int) -> Tensor:
    """The `torch_features` of a task's examples."""
    lengths = None if examples.lengths is None else examples.lengths[task]
    return torch_features(dict(encoder.named_parameters()), examples.inputs[task], lengths)


def learned_rate(learner: MAML, inner_lr: float, name: str, step: int) -> Tensor | float:
    """The rate of a weight at a step; where steps share a rate, it is the only one."""
    learned = dict(learner.rates.named_parameters())
    return inner_lr * learned[name][min(step, len(learned[name]) - 1)] if learned else inner_lr
