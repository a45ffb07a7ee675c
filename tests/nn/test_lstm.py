"""The model: equal to `torch.nn.LSTM` with its first two derivatives, and every task with weights of its own."""

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor

from metalstm.nn.lstm import LSTMModel, ModelShape
from metalstm.nn.sequences import columns_of, stacked, stacks_of
from metalstm.nn.torch_lstm import PlainModel, to_plain
from support.layers import make_model
from support.tensors import difference

SIDE = 5  # S and F: reading columns needs a square
SHAPES = [
    ModelShape(SIDE, 3, hidden_size=6, layers=layers, directions=directions, pooling=pooling, layer_norm=layer_norm)
    for layers, directions, pooling, layer_norm in product((1, 2), (1, 2, 4), ("last", "mean"), (False, True))
] + [
    ModelShape(SIDE, 3, hidden_size=6, directions=directions, layer_norm=layer_norm, skip=True)
    for directions, layer_norm in product((1, 2, 4), (False, True))
]
SHAPES += [
    ModelShape(SIDE, 3, hidden_size=6, layers=2, directions=directions, pooling=pooling, skip=True, stack=2)
    for directions, pooling in product((1, 2, 4), ("last", "mean"))
]


def name_of(shape: ModelShape) -> str:
    rest = "_norm" * shape.layer_norm + "_skip" * shape.skip + "_stack" * (shape.stack > 1)
    return f"{shape.layers}layers_{shape.directions}directions_{shape.pooling}{rest}"


def sequences(*sizes: int, seed: int = 0) -> Tensor:
    """Random [..., S, F] in float64, of numbers that float32 can hold."""
    return torch.randn(*sizes, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)).double()


def derivatives(
    outputs: Tensor, weights: dict[str, Tensor], in_order: Callable[[dict[str, Tensor]], list[Tensor]]
) -> tuple[list[Tensor], list[Tensor]]:
    """The gradient of a random nonlinear function of the outputs, and the gradient of a function of that gradient."""
    mask = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    total = (outputs.square() * mask.to(outputs.dtype)).sum()
    gradients = torch.autograd.grad(total, list(weights.values()), create_graph=True)
    first = in_order(dict(zip(weights, gradients, strict=True)))
    part = sum((place + 1) * tensor.square().sum() for place, tensor in enumerate(first))
    gradients = torch.autograd.grad(part, list(weights.values()))
    return first, in_order(dict(zip(weights, gradients, strict=True)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
def test_equals_torch_lstm(shape: ModelShape, dtype: torch.dtype) -> None:
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5
    model = make_model(shape, dtype)
    plain = PlainModel.of(model.shape, dict(model.named_parameters())).double()
    inputs = sequences(4)

    outputs, want = model(inputs.unsqueeze(0).to(dtype)).squeeze(0), plain(inputs)
    assert outputs.dtype == dtype
    assert want.std(dim=0).norm() > 0.01 * want.mean(dim=0).norm()  # examples are told apart
    assert difference([outputs], [want]) < tolerance

    names = list(dict(plain.named_parameters()))
    got = derivatives(
        outputs,
        dict(model.named_parameters()),
        lambda by_name: [to_plain(shape, by_name)[name] for name in names],
    )
    reference = derivatives(want, dict(plain.named_parameters()), lambda by_name: list(by_name.values()))
    for mine, other in zip(got, reference, strict=True):
        assert difference(mine, other) < tolerance


@pytest.mark.parametrize("gates", [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)], ids=str)
def test_swapped_gates_would_be_noticed(gates: tuple[int, int]) -> None:
    model = make_model(SHAPES[0])
    plain = PlainModel.of(model.shape, dict(model.named_parameters()))
    order = list(range(4))
    first, second = gates
    order[first], order[second] = order[second], order[first]
    with torch.no_grad():
        for name, weight in plain.lstms[0].named_parameters():
            weight.copy_(torch.cat([weight.chunk(4)[gate] for gate in order]))
            assert not torch.equal(weight, model.get_parameter(name)[0])
    inputs = sequences(4)
    assert difference([model(inputs.unsqueeze(0)).squeeze(0)], [plain(inputs)]) > 1e-2


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.directions < 4], ids=name_of)
def test_equals_torch_lstm_on_packed_sequences(shape: ModelShape, dtype: torch.dtype) -> None:
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5
    model = make_model(shape, dtype)
    plain = PlainModel.of(model.shape, dict(model.named_parameters())).double()
    inputs = sequences(4)
    lengths = torch.tensor([SIDE, 1, 3, 2])
    beyond = (torch.arange(SIDE) >= lengths.unsqueeze(1)).unsqueeze(-1)

    whole = model(inputs.unsqueeze(0).to(dtype)).squeeze(0)
    outputs = model(inputs.masked_fill(beyond, torch.nan).unsqueeze(0).to(dtype), lengths.unsqueeze(0)).squeeze(0)
    want = plain(inputs.masked_fill(beyond, 7), lengths)
    assert difference([outputs], [want]) < tolerance
    torch.testing.assert_close(outputs[0], whole[0])
    assert all((outputs[i] - whole[i]).norm() > 1e-3 * whole[i].norm() for i in (1, 2, 3))

    names = list(dict(plain.named_parameters()))
    got = derivatives(outputs, dict(model.named_parameters()), lambda w: [to_plain(shape, w)[name] for name in names])
    reference = derivatives(want, dict(plain.named_parameters()), lambda w: [w[name] for name in names])
    for mine, other in zip(got, reference, strict=True):
        assert difference(mine, other) < tolerance


def test_stacked() -> None:
    sequences = torch.arange(1, 2 * 5 * 3 + 1.0).view(2, 5, 3)
    first, second = sequences
    whole = stacked(sequences, 2)
    assert whole.shape == (2, 3, 6)
    for got, given in zip(whole, sequences, strict=True):
        want = [[*given[0], *given[1]], [*given[2], *given[3]], [*given[4], 0, 0, 0]]
        assert torch.equal(got, torch.tensor(want))
    assert torch.equal(stacked(sequences, 5), sequences.flatten(1).unsqueeze(1))
    assert torch.equal(stacked(sequences, 1), sequences)

    lengths = torch.tensor([5, 1])
    uneven = stacked(sequences, 3, lengths)
    assert torch.equal(stacks_of(lengths, 3), torch.tensor([2, 1]))
    assert torch.equal(uneven[0], torch.tensor([[*first[0], *first[1], *first[2]], [*first[3], *first[4], 0, 0, 0]]))
    assert torch.equal(uneven[1], torch.tensor([[*second[0], 0, 0, 0, 0, 0, 0], [0.0] * 9]))


def test_columns_take_sequences_of_one_length() -> None:
    model = make_model(ModelShape(SIDE, 3, hidden_size=6, directions=4))
    with pytest.raises(ValueError, match="one length"):
        model(sequences(1, 4), torch.full((1, 4), SIDE))


@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
def test_every_task_has_its_own_weights(shape: ModelShape) -> None:
    models = [make_model(shape, seed=seed) for seed in range(3)]
    inputs = sequences(3, 4)
    fast = {
        name: torch.stack([model.get_parameter(name) for model in models]) for name, _ in models[0].named_parameters()
    }
    together = models[0](inputs, weights=fast)
    alone = torch.cat([model(inputs[task : task + 1]) for task, model in enumerate(models)])
    assert difference(together, alone) < 1e-12
    by_first = models[0](inputs)
    assert torch.equal(by_first, models[0](inputs, weights=models[0].start(3)))
    assert difference(by_first[:1], alone[:1]) < 1e-12
    assert difference(by_first[1:], alone[1:]) > 1e-2  # other weights, other answers

    of_one_task = together[1].square().sum()
    for task, model in enumerate(models):
        gradients = torch.autograd.grad(of_one_task, list(model.parameters()), retain_graph=True)
        assert all(bool(gradient.any()) == (task == 1) for gradient in gradients)


@pytest.mark.parametrize("layers", [1, 2])
def test_four_directions_read_the_rows_and_the_columns(layers: int) -> None:
    four = make_model(ModelShape(SIDE, 3, hidden_size=6, layers=layers, directions=4, layer_norm=False))
    two = LSTMModel(
        ModelShape(SIDE, 3, hidden_size=6, layers=layers, directions=2, layer_norm=False), torch.Generator()
    )
    images = sequences(2, 4)

    def features(model: LSTMModel, inputs: Tensor, directions: slice) -> Tensor:
        weights = {
            name: weight if name.startswith("head") else weight[:, directions]
            for name, weight in four.start(len(inputs)).items()
        }
        return model.read(model.prepare(inputs), weights)

    rows, columns = features(four, images, slice(None)).chunk(2, dim=-1)
    assert difference(rows, features(two, images, slice(0, 2))) < 1e-12
    assert difference(columns, features(two, images.transpose(2, 3), slice(2, 4))) < 1e-12
    assert difference(columns, rows) > 0.1


def test_columns_of_colour_images_are_pixels_from_top_to_bottom() -> None:
    pixels = torch.randn(2, 3, SIDE, SIDE, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows, turned = pixels.flatten(-2), pixels.transpose(2, 3).flatten(-2)
    assert torch.equal(columns_of(rows), turned)
    model = make_model(ModelShape(3 * SIDE, 3, hidden_size=6, directions=4, layer_norm=False))
    weights = model.start(2)
    by_rows, by_columns = model.read(model.prepare(rows), weights).chunk(2, dim=-1)
    swapped = {name: w if name.startswith("head") else w[:, [2, 3, 0, 1]] for name, w in weights.items()}
    other_columns, other_rows = model.read(model.prepare(turned), swapped).chunk(2, dim=-1)
    assert difference(by_rows, other_rows) < 1e-12
    assert difference(by_columns, other_columns) < 1e-12
    assert difference(by_rows, by_columns) > 0.1
    assert difference([PlainModel.of(model.shape, dict(model.named_parameters()))(rows[0])], [model(rows)[0]]) < 1e-12


def test_sequences_that_are_no_square_images_have_no_columns() -> None:
    with pytest.raises(ValueError, match="5 steps of 7 numbers are no square images"):
        columns_of(torch.zeros(1, 1, 5, 7))


def test_backward_reading_is_the_forward_reading_of_the_reverse() -> None:
    model = make_model(ModelShape(SIDE, 3, hidden_size=6, directions=2, layer_norm=False))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if not name.startswith("head"):
                weight[1] = weight[0]
    inputs = sequences(1, 4)
    forwards, backwards = model.read(model.prepare(inputs), model.start(1)).chunk(2, dim=-1)
    again, _ = model.read(model.prepare(inputs.flip(2)), model.start(1)).chunk(2, dim=-1)
    assert difference(backwards, again) < 1e-12
    assert difference(backwards, forwards) > 0.1


def test_the_start_is_drawn_from_the_generator_alone() -> None:
    shape = ModelShape(SIDE, 3, hidden_size=6, layers=2, directions=2)

    def start(seed: int) -> list[Tensor]:
        return list(LSTMModel(shape, torch.Generator().manual_seed(seed)).parameters())

    before = start(0)
    torch.manual_seed(9)
    assert all(map(torch.equal, before, start(0)))
    assert not torch.equal(before[0], start(1)[0])


def test_the_head_starts_at_zero() -> None:
    model = LSTMModel(SHAPES[0], torch.Generator().manual_seed(0))
    assert not model.head_weight.any()
    assert not model.head_bias.any()


def test_the_start_is_orthogonal_with_forget_bias_one() -> None:
    shape = ModelShape(SIDE, 3, hidden_size=6, layers=2, directions=4)
    model = LSTMModel(shape, torch.Generator().manual_seed(0))
    for layer in range(2):
        blocks = model.get_parameter(f"weight_hh_l{layer}").unflatten(1, (4, 6))
        torch.testing.assert_close(blocks @ blocks.transpose(-1, -2), torch.eye(6).expand(4, 4, 6, 6))
        assert len({tuple(block.flatten().tolist()) for block in blocks.flatten(0, 1)}) == 16
        bias = model.get_parameter(f"bias_ih_l{layer}") + model.get_parameter(f"bias_hh_l{layer}")
        assert torch.equal(bias.unflatten(1, (4, 6)).mean(dim=2), torch.tensor([[0.0, 1.0, 0.0, 0.0]]).expand(4, 4))
