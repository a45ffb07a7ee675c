"""The perceptron: equal to `torch.nn.Linear` and `torch.nn.ReLU`, and every task with weights of its own."""

import pytest
import torch
from torch import Tensor, nn

from metalstm.nn.mlp import MLPModel, MLPShape
from support.tensors import difference, randomise

STEPS, FEATURES, OUTPUTS = 3, 2, 4
WIDTHS = [(5,), (7, 5), (5, 7, 6)]

each_width = pytest.mark.parametrize("widths", WIDTHS, ids=str)


def perceptron(widths: tuple[int, ...], seed: int = 0, dropout: float = 0.0) -> MLPModel:
    """A model in which no weight is zero or equal to another."""
    generator = torch.Generator().manual_seed(seed)
    model = MLPModel(MLPShape(STEPS * FEATURES, OUTPUTS, widths, dropout), generator)
    randomise(model, 0.6, generator)
    return model.double()


def plain(model: MLPModel) -> nn.Sequential:
    """The same model of torch's own layers."""
    before, layers = STEPS * FEATURES, []
    for place, width in enumerate(model.shape.widths):
        linear = nn.Linear(before, width)
        linear.load_state_dict(
            {"weight": model.get_parameter(f"weight_l{place}"), "bias": model.get_parameter(f"bias_l{place}")}
        )
        layers += [linear, nn.ReLU()]
        before = width
    head = nn.Linear(before, OUTPUTS)
    head.load_state_dict({"weight": model.head_weight, "bias": model.head_bias})
    return nn.Sequential(nn.Flatten(), *layers, head).double()


def in_order(model: MLPModel) -> list[Tensor]:
    """The weights in the order of the plain model's."""
    layers = range(len(model.shape.widths))
    body = [model.get_parameter(f"{kind}_l{layer}") for layer in layers for kind in ("weight", "bias")]
    return [*body, model.head_weight, model.head_bias]


def random_inputs(*sizes: int) -> Tensor:
    inputs = torch.randn(*sizes, STEPS, FEATURES, generator=torch.Generator().manual_seed(1)).double()
    assert inputs.unique().numel() == inputs.numel()
    return inputs


def derivatives(outputs: Tensor, weights: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """The gradient of a nonlinear function of the outputs, and the gradient of a function of that gradient."""
    mask = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(2), dtype=outputs.dtype)
    first = torch.autograd.grad((outputs.square() * mask).sum(), weights, create_graph=True)
    part = sum((place + 1) * tensor.square().sum() for place, tensor in enumerate(first))
    return list(first), list(torch.autograd.grad(part, weights))


@each_width
def test_equals_torch_layers(widths: tuple[int, ...]) -> None:
    model = perceptron(widths)
    reference = plain(model)
    inputs = random_inputs(6)
    outputs, want = model(inputs.unsqueeze(0)).squeeze(0), reference(inputs)
    assert want.std(dim=0).norm() > 0.01 * want.mean(dim=0).norm()  # examples are told apart
    assert difference([outputs], [want]) < 1e-12
    got, expected = derivatives(outputs, in_order(model)), derivatives(want, list(reference.parameters()))
    for mine, other in zip(got, expected, strict=True):
        assert difference(mine, other) < 1e-10


@each_width
def test_features_are_what_the_head_reads(widths: tuple[int, ...]) -> None:
    model = perceptron(widths)
    inputs = random_inputs(1, 6)
    features = model.read(model.prepare(inputs), model.start(1))
    assert features.shape == (1, 6, widths[-1])
    assert model.shape.feature_size == widths[-1]
    assert difference([features[0]], [plain(model)[:-1](inputs[0])]) < 1e-12


@each_width
def test_every_task_has_its_own_weights(widths: tuple[int, ...]) -> None:
    models = [perceptron(widths, seed) for seed in range(3)]
    inputs = random_inputs(3, 6)
    fast = {name: torch.stack([model.get_parameter(name) for model in models]) for name in models[0].state_dict()}
    together = models[0](inputs, weights=fast)
    alone = torch.stack([plain(model)(part) for model, part in zip(models, inputs, strict=True)])
    assert difference(together, alone) < 1e-12
    assert difference(models[0](inputs)[1:], alone[1:]) > 1e-2  # other weights, other answers
    of_one_task = together[1].square().sum()
    for task, model in enumerate(models):
        gradients = torch.autograd.grad(of_one_task, in_order(model), retain_graph=True)
        assert all(bool(gradient.any()) == (task == 1) for gradient in gradients)


def test_sequences_that_end_early_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        perceptron((5,))(random_inputs(1, 6), torch.full((1, 6), STEPS))


def test_dropout_is_before_the_head_and_off_without_a_generator() -> None:
    model, without = perceptron((30, 20), dropout=0.4), perceptron((30, 20))
    inputs = random_inputs(1, 6)
    assert torch.equal(model(inputs), without(inputs))
    prepared, weights = model.prepare(inputs), model.start(1)
    features = model.read(prepared, weights)
    dropped = model.read(prepared, weights, torch.Generator().manual_seed(0))
    kept = dropped != 0
    assert 0.3 < kept[features != 0].double().mean() < 0.9
    torch.testing.assert_close(dropped[kept], features[kept] / 0.6)
    assert torch.equal(dropped, model.read(prepared, weights, torch.Generator().manual_seed(0)))
    assert not torch.equal(dropped, model.read(prepared, weights, torch.Generator().manual_seed(1)))


def test_the_start_is_drawn_from_the_generator_alone() -> None:
    shape = MLPShape(300, OUTPUTS, (400, 200))

    def start(seed: int) -> MLPModel:
        return shape.build(torch.Generator().manual_seed(seed))

    first = start(0)
    torch.manual_seed(9)
    assert all(map(torch.equal, first.parameters(), start(0).parameters()))
    assert not torch.equal(first.weight_l0, start(1).weight_l0)
    for weight, inputs in ((first.weight_l0, 300), (first.weight_l1, 400)):
        assert float(weight.detach().std()) == pytest.approx((2 / inputs) ** 0.5, rel=0.02)  # He et al. 2015
        assert abs(float(weight.detach().mean())) < 0.001
    assert not any(weight.any() for weight in (first.bias_l0, first.bias_l1, first.head_weight, first.head_bias))
