"""What the tests of the learners share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest
import torch
from torch import Tensor

from metalstm.learners.inner_loop.adaptation import WholeModel
from metalstm.learners.maml import MAML
from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.tasks.examples import Examples, TaskBatch

OUTPUTS = {"classification": 3, "regression": 2}
STEPS, FEATURES = 5, 4


@pytest.fixture(scope="session")
def difference() -> Callable[[Iterable[Tensor], Iterable[Tensor]], float]:
    """A function: how far tensors are from their references, as a fraction of the reference's norm; the worst of them.

    A reference that vanishes proves nothing, so it is refused.
    """

    def worst(got: Iterable[Tensor], want: Iterable[Tensor]) -> float:
        pairs = [(mine.detach().double(), other.detach().double()) for mine, other in zip(got, want, strict=True)]
        assert pairs
        assert all(other.norm() > 1e-5 for _, other in pairs)
        return max(float((mine - other).norm() / other.norm()) for mine, other in pairs)

    return worst


@pytest.fixture(scope="session")
def make_tasks() -> Callable[..., TaskBatch]:
    """A function that makes tasks that can be learned, the same numbers for every dtype.

    Classification: each task has 3 noisy prototypes. Regression: each task has a linear map of its own. `ragged`: most
    sequences end early, and what lies beyond the end is not a number.
    """

    def make(
        kind: str = "classification", tasks: int = 3, dtype: torch.dtype = torch.float64, ragged: bool = False
    ) -> TaskBatch:
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

    return make


@pytest.fixture(scope="session")
def make_maml() -> Callable[..., MAML]:
    """A function that makes a learner in which no weight and no learned rate is equal to another."""

    def make(
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
        generator = torch.Generator().manual_seed(7)
        sizes = ModelShape(FEATURES, OUTPUTS[kind], **{"hidden_size": 6, "layer_norm": True} | shape)
        learner = MAML(
            WholeModel(LSTMModel(sizes, generator)),
            kind,
            inner_steps,
            inner_lr=0.3,
            learned_rates=learned_rates,
            order=order,
            engine=engine,
            task_chunk_size=task_chunk_size,
            gradient_checkpointing=recompute,
            precision=precision,
        )
        with torch.no_grad():
            for weight in learner.model.parameters():
                weight.copy_(0.5 * torch.randn(weight.shape, generator=generator))
            for rate in learner.rates.parameters():
                rate *= 0.4 + 1.2 * torch.rand(rate.shape, generator=generator)
        return learner.to(dtype)

    return make


@pytest.fixture(scope="session")
def meta_gradient() -> Callable[[MAML, TaskBatch], dict[str, Tensor]]:
    """A function: the gradient of the meta-loss with respect to every meta-parameter, by name."""

    def gradient(learner: MAML, tasks: TaskBatch) -> dict[str, Tensor]:
        parameters = dict(learner.named_parameters())
        gradients = torch.autograd.grad(learner.meta_loss(tasks).loss, parameters.values())
        return dict(zip(parameters, gradients, strict=True))

    return gradient


@pytest.fixture
def in_float64() -> Iterator[None]:
    """What is made without saying in which precision is made in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
