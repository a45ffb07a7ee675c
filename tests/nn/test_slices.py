"""Reading in slices: features the same bit for bit, and the gradient of one pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metalstm.nn.base import Model, Weights
from metalstm.nn.lstm import ModelShape
from metalstm.nn.mlp import MLPShape
from metalstm.runtime.budget import BUDGET

TASKS, EXAMPLES, STEPS = 2, 11, 9
ROUNDED = ("skip", "mlp")  # whose sums and products torch adds up in an order that depends on how many there are
SHAPES = {
    "plain": ModelShape(4, 3, 16),
    "deep": ModelShape(4, 3, 16, layers=2, directions=2, pooling="mean"),
    "tokens": ModelShape(6, 3, 16, vocabulary=20, stack=2),
    "skip": ModelShape(4, 3, 16, skip=True),
    "images": ModelShape(9, 3, 16, directions=4),
    "mlp": MLPShape(STEPS * 4, 3),
}


@pytest.fixture(params=SHAPES)
def model(request: pytest.FixtureRequest) -> Model:
    return SHAPES[request.param].build(torch.Generator().manual_seed(0))


@pytest.fixture
def prepared(model: Model) -> object:
    generator = torch.Generator().manual_seed(1)
    shape = model.shape
    if isinstance(shape, MLPShape):
        return model.prepare(torch.randn(TASKS, EXAMPLES, STEPS, 4, generator=generator))
    assert isinstance(shape, ModelShape)
    lengths = None if shape.directions == 4 else torch.randint(1, STEPS + 1, (TASKS, EXAMPLES), generator=generator)
    if shape.vocabulary:
        return model.prepare(torch.randint(20, (TASKS, EXAMPLES, STEPS, 3), generator=generator), lengths)
    return model.prepare(torch.randn(TASKS, EXAMPLES, STEPS, shape.features, generator=generator), lengths)


@pytest.fixture
def weights(model: Model) -> dict[str, Tensor]:
    noise = torch.Generator().manual_seed(2)
    start = model.start(TASKS).items()
    return {name: (w + 0.1 * torch.randn(w.shape, generator=noise)).detach().requires_grad_() for name, w in start}


def squares(model: Model, prepared: object, weights: Weights, generator: torch.Generator | None = None) -> Tensor:
    return model.read(prepared, weights, generator).square().sum()


@pytest.fixture
def slices(model: Model, prepared: object, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the slices that are read, with a budget for about four examples of each task."""
    sizes: list[int] = []
    whole = model.read_whole

    def counted(part: object, weights: Weights, generator: torch.Generator | None = None) -> Tensor:
        sizes.append(model.size_of(part).examples)
        return whole(part, weights, generator)

    size = model.size_of(prepared)
    monkeypatch.setattr(model, "read_whole", counted)
    monkeypatch.setattr(BUDGET, "limit", TASKS * model.bytes_of_pass(size._replace(examples=4), "nothing"))
    return sizes


@torch.no_grad()
def test_features(
    model: Model,
    prepared: object,
    weights: Weights,
    slices: list[int],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    found = model.read(prepared, weights)
    assert slices == [4, 4, 3]
    monkeypatch.setattr(BUDGET, "limit", None)
    torch.testing.assert_close(found, whole := model.read(prepared, weights))
    assert torch.equal(found, whole) or request.node.callspec.params["model"] in ROUNDED
    assert slices[3:] == [EXAMPLES]
    assert found.std() > 1e-2


def test_gradients(
    model: Model, prepared: object, weights: Weights, slices: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [weight for name, weight in weights.items() if not name.startswith("head")]
    found = torch.autograd.grad(squares(model, prepared, weights), asked)
    count = len(slices)
    assert count > 2
    assert count % 2 == 0  # each is read twice
    monkeypatch.setattr(BUDGET, "limit", None)
    for got, want in zip(found, torch.autograd.grad(squares(model, prepared, weights), asked), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5 * float(want.abs().max()))
        assert want.abs().max() > 0


def test_dropout_drops_the_same_the_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelShape(4, 3, 16, layers=2, dropout=0.5).build(torch.Generator().manual_seed(0)).double()
    prepared = model.prepare(torch.randn(1, 6, 5, 4, dtype=torch.float64))
    weights = {name: weight.detach().clone().requires_grad_() for name, weight in model.start(1).items()}
    monkeypatch.setattr(BUDGET, "limit", 1)

    def loss(bias: Tensor) -> Tensor:
        return squares(model, prepared, weights | {"bias_ih_l0": bias}, torch.Generator().manual_seed(3))

    assert torch.autograd.gradcheck(loss, (weights["bias_ih_l0"],))


def test_a_gradient_of_a_gradient_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelShape(4, 3, 16).build(torch.Generator().manual_seed(0))
    weights = model.start(1)
    monkeypatch.setattr(BUDGET, "limit", 1)
    loss = squares(model, model.prepare(torch.randn(1, 6, 5, 4)), weights)
    (gradient,) = torch.autograd.grad(loss, [weights["weight_hh_l0"]], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.square().sum().backward()
