"""The LSTM that all tasks share: equal to `torch.nn.LSTM`, from zero and from states that are given."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from metalstm.nn.shared_lstm import SharedLSTM
from support.tensors import difference, randomise

FEATURES, HIDDEN, COUNT = 3, 5, 4

each_layers = pytest.mark.parametrize("layers", [1, 2, 3])
each_length = pytest.mark.parametrize("steps", [1, 6])


def shared(layers: int) -> SharedLSTM:
    """A stack in which no weight is zero or equal to another."""
    generator = torch.Generator().manual_seed(0)
    lstm = SharedLSTM(FEATURES, HIDDEN, layers, generator)
    randomise(lstm, 0.6, generator)
    return lstm.double()


def plain(lstm: SharedLSTM) -> nn.LSTM:
    """The same stack as torch's own; its second bias is zero."""
    reference = nn.LSTM(FEATURES, HIDDEN, lstm.layers).double()
    with torch.no_grad():
        for layer in range(lstm.layers):
            for name, other in (("weight_ih", "w_x"), ("weight_hh", "w_h"), ("bias_ih", "bias")):
                reference.get_parameter(f"{name}_l{layer}").copy_(lstm.get_parameter(f"{other}_l{layer}"))
            reference.get_parameter(f"bias_hh_l{layer}").zero_()
    return reference


def random_numbers(*sizes: int, seed: int = 1) -> Tensor:
    numbers = torch.randn(*sizes, generator=torch.Generator().manual_seed(seed)).double()
    assert numbers.unique().numel() == numbers.numel()
    return numbers.requires_grad_()


def weights_of(lstm: SharedLSTM, reference: nn.LSTM) -> tuple[list[Tensor], list[Tensor]]:
    """The weights of both, pair by pair."""
    pairs = [
        (lstm.get_parameter(f"{mine}_l{layer}"), reference.get_parameter(f"{other}_l{layer}"))
        for layer in range(lstm.layers)
        for mine, other in (("w_x", "weight_ih"), ("w_h", "weight_hh"), ("bias", "bias_ih"))
    ]
    return [mine for mine, _ in pairs], [other for _, other in pairs]


def total(tensors: Iterable[Tensor]) -> Tensor:
    """A nonlinear function of all numbers, each with a factor of its own."""
    return sum(
        (tensor.square() * random_numbers(*tensor.shape, seed=place + 9).detach()).sum()
        for place, tensor in enumerate(tensors)
    )


@each_layers
@each_length
@pytest.mark.parametrize("given", [False, True], ids=["from_zero", "from_states"])
def test_equals_torch_lstm(layers: int, steps: int, given: bool) -> None:
    lstm = shared(layers)
    reference = plain(lstm)
    inputs = random_numbers(steps, COUNT, FEATURES)
    h, c = random_numbers(layers, COUNT, HIDDEN, seed=2), random_numbers(layers, COUNT, HIDDEN, seed=3)
    outputs, states = lstm(inputs, list(zip(h, c, strict=True)) if given else None)
    want, (h_last, c_last) = reference(inputs, (h, c) if given else None)
    assert outputs.shape == (steps, COUNT, HIDDEN)
    assert len(states) == layers
    got_all = [outputs, *(state[0] for state in states), *(state[1] for state in states)]
    want_all = [want, *h_last, *c_last]
    assert difference(got_all, want_all) < 1e-12

    mine, others = weights_of(lstm, reference)
    if steps == 1 and not given:  # the recurrent weights have no say
        del mine[1::3], others[1::3]
    inward = [inputs, h, c] if given else [inputs]
    got = torch.autograd.grad(total(got_all), [*mine, *inward])
    expected = torch.autograd.grad(total(want_all), [*others, *inward])
    assert difference(got, expected) < 1e-10


@each_layers
def test_reading_goes_on_from_a_state(layers: int) -> None:
    lstm = shared(layers)
    inputs = random_numbers(6, COUNT, FEATURES)
    whole, at_end = lstm(inputs)
    states, outputs = None, []
    for part in inputs.split([2, 1, 3]):
        read, states = lstm(part, states)
        outputs.append(read)
    assert difference([torch.cat(outputs)], [whole]) < 1e-12
    for mine, other in zip(states, at_end, strict=True):
        assert difference(mine, other) < 1e-12


@each_layers
def test_the_state_before_anything_was_read(layers: int) -> None:
    lstm = shared(layers)
    inputs = random_numbers(2, COUNT, FEATURES)
    zeros = lstm.zeros(COUNT, inputs)
    assert len(zeros) == layers
    assert all(part.shape == (COUNT, HIDDEN) and part.dtype == inputs.dtype for state in zeros for part in state)
    assert torch.equal(lstm(inputs, zeros)[0], lstm(inputs)[0])


def test_the_start_is_drawn_from_the_generator_alone() -> None:
    def start(seed: int) -> list[Tensor]:
        return list(SharedLSTM(FEATURES, HIDDEN, 2, torch.Generator().manual_seed(seed)).parameters())

    first = start(0)
    torch.manual_seed(9)
    assert all(map(torch.equal, first, start(0)))
    assert not torch.equal(first[0], start(1)[0])
    assert torch.equal(first[2].unflatten(0, (4, HIDDEN)).mean(dim=1), torch.tensor([0.0, 1.0, 0.0, 0.0]))
