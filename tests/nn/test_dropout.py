"""Dropout: drawn from the generator that is passed, between layers and before the head, and off without one."""

import pytest
import torch
from torch import Tensor

from metalstm.nn.lstm import LSTMModel, ModelShape
from support.layers import make_model

INPUTS = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shape_of(layers: int, dropout: float = 0.4, directions: int = 1) -> ModelShape:
    return ModelShape(5, 3, hidden_size=6, layers=layers, directions=directions, layer_norm=False, dropout=dropout)


def features(model: LSTMModel, inputs: Tensor, generator: torch.Generator | None) -> Tensor:
    return model.read(model.prepare(inputs), model.start(len(inputs)), generator)


def distinct(values: Tensor) -> Tensor:
    """The values that differ by more than rounding."""
    return values.detach().round(decimals=10).unique()


@pytest.mark.parametrize("layers", [1, 2])
def test_off_without_a_generator(layers: int) -> None:
    without, with_ = make_model(shape_of(layers, dropout=0.0)), make_model(shape_of(layers))
    assert torch.equal(without(INPUTS), with_(INPUTS))
    assert torch.equal(without(INPUTS), without(INPUTS, generator=seeded(0)))
    assert not torch.equal(with_(INPUTS), with_(INPUTS, generator=seeded(0)))


@pytest.mark.parametrize("layers", [1, 2])
def test_the_generator_alone_decides(layers: int) -> None:
    model = make_model(shape_of(layers, directions=2))
    first = model(INPUTS, generator=seeded(0))
    torch.manual_seed(3)
    assert torch.equal(first, model(INPUTS, generator=seeded(0)))
    assert not torch.equal(first, model(INPUTS, generator=seeded(1)))
    stream = seeded(0)
    assert torch.equal(first, model(INPUTS, generator=stream))
    assert not torch.equal(first, model(INPUTS, generator=stream))  # the masks of the next pass are others


def test_a_share_of_the_features_is_dropped_and_the_rest_scaled_up() -> None:
    model = make_model(shape_of(1))
    inputs = INPUTS[:1, :1].expand(1, 5000, 5, 5)
    whole, dropped = features(model, inputs, None), features(model, inputs, seeded(0))
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], whole[kept] / 0.6)
    assert abs(kept.double().mean() - 0.6) < 0.02
    torch.testing.assert_close(dropped.mean(dim=1), whole.mean(dim=1), rtol=0.08, atol=0)
    per_unit = kept.double().mean(dim=1)
    assert per_unit.min() > 0.5  # each unit is dropped independently of the others
    assert per_unit.max() < 0.7


def test_between_layers_too() -> None:
    model = make_model(shape_of(2))
    inputs = INPUTS[:1, :1].expand(1, 50, 5, 5)
    dropped = features(model, inputs, seeded(0))
    values = dropped[dropped != 0]
    assert len(distinct(values)) > 0.9 * len(values)  # with the last mask alone there were as many as units
    single = features(make_model(shape_of(1)), inputs, seeded(0))
    assert len(distinct(single[single != 0])) == 6


def test_the_gradient_sees_the_same_mask() -> None:
    model = make_model(shape_of(2))
    weight = model.weight_ih_l0

    def total() -> Tensor:
        return model(INPUTS, generator=seeded(0)).square().sum()

    direction = torch.randn(weight.shape, generator=seeded(1), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(total(), weight)
    values = []
    with torch.no_grad():
        for sign in (1, -2):
            weight += sign * 1e-6 * direction
            values.append(total())
    assert torch.isclose((values[0] - values[1]) / 2e-6, (gradient * direction).sum(), rtol=1e-6)
