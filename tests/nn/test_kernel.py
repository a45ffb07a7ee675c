"""The LSTM layer and its hand-written derivatives: against autograd, `torch.nn.LSTM` and finite differences."""

from collections.abc import Callable, Iterable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from metalstm.nn.kernel import lstm_layer
from metalstm.nn.pointwise import fused_cells

Layer = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Difference = Callable[[Iterable[Tensor], Iterable[Tensor]], float]
Derivatives = tuple[list[Tensor], list[Tensor], list[Tensor]]
SIZES = (3, 6, 4, 5, 7)  # G, S, B, F, H
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def random_like(tensor: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(tensor.dtype)


def arguments(
    groups: int, steps: int, examples: int, features: int, hidden: int, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """Random inputs, w_x, w_h and bias, the same numbers for every dtype."""
    generator = torch.Generator().manual_seed(0)
    shapes = (
        (groups, steps, examples, features),
        (groups, 4 * hidden, features),
        (groups, 4 * hidden, hidden),
        (groups, 4 * hidden),
    )
    scale = 1.5 * hidden**-0.5
    return [(torch.randn(shape, generator=generator) * scale).to(dtype).requires_grad_() for shape in shapes]


def by_cell(inputs: Tensor, w_x: Tensor, w_h: Tensor, bias: Tensor) -> Tensor:
    """The equations of the LSTM, step by step, left to autograd."""
    h = c = inputs.new_zeros(inputs.shape[0], inputs.shape[2], w_h.shape[-1])
    states = []
    for x in inputs.unbind(1):
        z = torch.einsum("gbf,gkf->gbk", x, w_x) + torch.einsum("gbh,gkh->gbk", h, w_h) + bias.unsqueeze(1)
        i, f, g, o = z.split(w_h.shape[-1], dim=-1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    return torch.stack(states, dim=1)


def by_torch(inputs: Tensor, w_x: Tensor, w_h: Tensor, bias: Tensor) -> Tensor:
    """A `torch.nn.LSTM` for each group."""
    module = nn.LSTM(inputs.shape[-1], w_h.shape[-1]).to(inputs.dtype)
    states = []
    for group in range(inputs.shape[0]):
        weights = {
            "weight_ih_l0": w_x[group],
            "weight_hh_l0": w_h[group],
            "bias_ih_l0": bias[group],
            "bias_hh_l0": torch.zeros_like(bias[group]),
        }
        states.append(torch.func.functional_call(module, weights, (inputs[group],))[0])
    return torch.stack(states)


def derivatives(layer: Layer, given: list[Tensor], last_only: bool = False) -> Derivatives:
    """The states, the gradient of a random nonlinear function of them, and the gradient of a random part of that."""
    generator = torch.Generator().manual_seed(1)
    differentiated = [tensor for tensor in given if tensor.requires_grad]
    states = layer(*given)
    seen = states[:, -1] if last_only else states
    total = (seen.square() * random_like(seen, generator)).sum()
    gradient = torch.autograd.grad(total, differentiated, create_graph=True)
    part = sum((tensor * random_like(tensor, generator)).sum() for tensor in gradient)
    return [states], list(gradient), list(torch.autograd.grad(part, differentiated))


@pytest.mark.parametrize("last_only", [False, True], ids=["all_states", "last_state"])
@pytest.mark.parametrize("reference", [by_cell, by_torch])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_value_gradient_and_second_derivative(
    difference: Difference, dtype: torch.dtype, reference: Layer, last_only: bool
) -> None:
    got = derivatives(lstm_layer, arguments(*SIZES, dtype=dtype), last_only)
    want = derivatives(reference, arguments(*SIZES), last_only)
    for mine, other in zip(got, want, strict=True):
        assert all(tensor.dtype == dtype for tensor in mine)
        assert difference(mine, other) < TOLERANCE[dtype]
    states = want[0][0]
    assert states.std(dim=2).min() > 1e-3  # examples differ,
    assert (states[:, 1:] - states[:, :-1]).norm() > 0.1 * states.norm()  # and so do time steps


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.tuples(*(st.integers(1, most) for most in (3, 5, 4, 4, 5))), st.booleans())
def test_any_sizes(sizes: tuple[int, int, int, int, int], last_only: bool) -> None:
    given = arguments(*sizes)
    got, want = derivatives(lstm_layer, given, last_only), derivatives(by_cell, given, last_only)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


def test_finite_differences() -> None:
    given = arguments(2, 3, 2, 2, 2)
    assert torch.autograd.gradcheck(lstm_layer, given)


def test_finite_differences_of_the_gradient() -> None:
    given = arguments(1, 3, 2, 2, 2)
    assert torch.autograd.gradgradcheck(lstm_layer, given)


def test_finite_differences_where_only_the_weights_are_differentiated() -> None:
    inputs, *weights = arguments(1, 3, 2, 2, 2)
    fixed = inputs.detach()
    assert torch.autograd.gradgradcheck(lambda *weights: lstm_layer(fixed, *weights), weights)


@pytest.mark.parametrize("differentiated", [(1, 2, 3), (0,), (1,), (2,), (3,), (0, 2)])
def test_any_part_of_the_arguments(difference: Difference, differentiated: tuple[int, ...]) -> None:
    given = [tensor.detach().requires_grad_(index in differentiated) for index, tensor in enumerate(arguments(*SIZES))]
    for mine, other in zip(derivatives(lstm_layer, given), derivatives(by_cell, given), strict=True):
        assert difference(mine, other) < 1e-10


def test_groups_do_not_touch() -> None:
    given = arguments(*SIZES)
    both = lstm_layer(*given)
    for group in range(SIZES[0]):
        alone = lstm_layer(*(tensor[group : group + 1] for tensor in given))
        torch.testing.assert_close(both[group : group + 1], alone, rtol=1e-12, atol=1e-14)
        gradients = torch.autograd.grad(both[group].sum(), given, retain_graph=True)
        touched = [[bool(tensor[other].any()) for other in range(SIZES[0])] for tensor in gradients]
        assert touched == [[other == group for other in range(SIZES[0])]] * 4


def test_inputs_and_weights_need_not_be_contiguous(difference: Difference) -> None:
    inputs, w_x, w_h, bias = (tensor.detach() for tensor in arguments(*SIZES))
    strided = [
        inputs.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        w_x.transpose(1, 2).contiguous().transpose(1, 2),
        w_h.transpose(0, 2).contiguous().transpose(0, 2),
        bias[:1].expand(SIZES[0], -1),
    ]
    assert not any(tensor.is_contiguous() for tensor in strided)
    given = [tensor.requires_grad_() for tensor in strided]
    for mine, other in zip(derivatives(lstm_layer, given), derivatives(by_cell, given), strict=True):
        assert difference(mine, other) < 1e-10


def test_the_graph_can_be_walked_twice() -> None:
    given = arguments(*SIZES)
    gradient = torch.autograd.grad(lstm_layer(*given).square().sum(), given, create_graph=True)
    total = sum(tensor.square().sum() for tensor in gradient)
    first = torch.autograd.grad(total, given, retain_graph=True)
    assert all(map(torch.equal, first, torch.autograd.grad(total, given)))


def test_a_third_derivative_is_refused() -> None:
    given = arguments(*SIZES)
    gradient = torch.autograd.grad(lstm_layer(*given).square().sum(), given, create_graph=True)
    linear, nonlinear = (sum(tensor.sum() for tensor in gradient), sum(tensor.square().sum() for tensor in gradient))
    for total in (linear, nonlinear):
        with pytest.raises(RuntimeError, match="no third derivative"):
            torch.autograd.grad(total, given, create_graph=True)


def test_compiled_cells_make_the_same_layer(difference: Difference, choose_cells: Callable[..., None]) -> None:
    if fused_cells() is None:
        pytest.skip("no C compiler")
    given = arguments(2, 28, 25, 28, 64, dtype=torch.float32)
    compiled = derivatives(lstm_layer, given)
    choose_cells(METALSTM_FUSED="0")
    assert fused_cells() is None
    for mine, other in zip(compiled, derivatives(lstm_layer, given), strict=True):
        assert 0 < difference(mine, other) < 1e-5  # not the very same numbers: these were other cells
