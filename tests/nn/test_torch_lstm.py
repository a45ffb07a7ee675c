"""Export: a model's weights as those of `torch.nn.LSTM` and `torch.nn.Linear`, bit for bit."""

from itertools import product

import pytest
import torch
from torch import nn

from metalstm.nn.lstm import ModelShape
from metalstm.nn.torch_lstm import PlainModel
from support.layers import make_model

SHAPES = [
    ModelShape(5, 3, hidden_size=6, layers=layers, directions=directions, layer_norm=layer_norm, skip=skip)
    for layers, directions, layer_norm, skip in product((1, 2), (1, 2, 4), (False, True), (False, True))
]
SHAPES += [ModelShape(5, 3, hidden_size=6, directions=directions, skip=True, stack=2) for directions in (1, 2, 4)]


def name_of(shape: ModelShape) -> str:
    return f"{shape.layers}l{shape.directions}d" + "n" * shape.layer_norm + "s" * shape.skip + f"x{shape.stack}"


each_shape = pytest.mark.parametrize("shape", SHAPES, ids=name_of)


@each_shape
def test_loads_into_torch_modules(shape: ModelShape) -> None:
    model = make_model(shape, torch.float32)
    state = PlainModel.of(model.shape, dict(model.named_parameters())).state_dict()

    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {name.removeprefix(prefix): weight for name, weight in state.items() if name.startswith(prefix)}

    axes = 2 if shape.directions == 4 else 1
    joined = shape.directions * 6
    width = 5 * shape.stack
    lstms = [nn.LSTM(width, 6, shape.layers, batch_first=True, bidirectional=shape.directions > 1) for _ in range(axes)]
    for axis, lstm in enumerate(lstms):
        lstm.load_state_dict(part(f"lstms.{axis}."), strict=True)
    head = nn.Linear(joined + (width if shape.skip else 0), 3)
    head.load_state_dict(part("head."), strict=True)
    norm, norm_inputs = nn.LayerNorm(joined), nn.LayerNorm(width)
    if shape.layer_norm:
        norm.load_state_dict(part("norm."), strict=True)
    if shape.layer_norm and shape.skip:
        norm_inputs.load_state_dict(part("norm_inputs."), strict=True)
    modules = axes + 1 + shape.layer_norm * (1 + shape.skip)
    assert len({name.rsplit(".", 1)[0] for name in state}) == modules

    images = torch.randn(4, 5, 5, generator=torch.Generator().manual_seed(0))
    features = []
    readings = [images, images.transpose(1, 2)]
    if shape.stack == 2:  # rows side by side, and none beside the last
        pairs = [
            torch.stack((reading[:, 0::2], torch.cat((reading[:, 1::2], torch.zeros(4, 1, 5)), 1)), 2)
            for reading in readings
        ]
        readings = [pair.flatten(2) for pair in pairs]
    for lstm, reading in zip(lstms, readings, strict=False):
        states, _ = lstm(reading)
        features.append(states[:, -1, :6])
        if shape.directions > 1:
            features.append(states[:, 0, 6:])  # the backward reading ends at the first step
    read, mean = torch.cat(features, dim=-1), readings[0].mean(dim=1)
    if shape.layer_norm:
        read, mean = norm(read), norm_inputs(mean)
    answers = head(torch.cat((read, mean), dim=-1) if shape.skip else read)
    torch.testing.assert_close(model(images.unsqueeze(0)).squeeze(0), answers, rtol=1e-5, atol=1e-5)


def test_export_is_a_copy() -> None:
    model = make_model(SHAPES[0])
    plain = PlainModel.of(model.shape, dict(model.named_parameters()))
    before = plain.head.bias.clone()
    with torch.no_grad():
        model.head_bias += 1
    assert torch.equal(plain.head.bias, before)
