"""The LSTM layer and its hand-written derivatives: against autograd, `torch.nn.LSTM` and finite differences."""

import gc
import weakref
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import grad

from metalstm.nn.kernel import tape
from metalstm.nn.kernel.layer import lstm_layer
from support.layers import by_cell, by_torch
from support.tensors import difference

Layer = Callable[..., tuple[Tensor, Tensor]]
SIZES = (3, 7, 4, 5, 6)  # G, S, B, F, H
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
NAMES = ("inputs", "w_x", "w_h", "bias", "h_first", "c_first")
LENGTHS = ("whole", "ragged", "short", "some_empty")
# torch.nn.LSTM refuses empty sequences
REFERENCES = [*((by_cell, kind) for kind in LENGTHS), *((by_torch, kind) for kind in LENGTHS[:-1])]
each_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
each_first = pytest.mark.parametrize("first", [False, True], ids=["from_zero", "from_a_state"])
each_last = pytest.mark.parametrize("last", [False, True], ids=["all_states", "last_state"])
each_length = pytest.mark.parametrize("lengths", LENGTHS)


def lengths_of(kind: str, sizes: Sequence[int] = SIZES) -> Tensor | None:
    """None for `whole`; `short`: the last step is no sequence's."""
    groups, steps, examples, *_ = sizes
    count = torch.arange(groups * examples).view(groups, examples)
    return {"ragged": 1 + count % steps, "short": 1 + count % (steps - 1), "some_empty": count % (steps + 1)}.get(kind)


def padding_of(lengths: Tensor, steps: int = SIZES[1]) -> Tensor:
    return torch.arange(steps).unsqueeze(1) >= lengths.unsqueeze(1)  # [G, S, B]


def arguments(
    sizes: Sequence[int] = SIZES,
    dtype: torch.dtype = torch.float64,
    first: bool = True,
    wanted: Iterable[int] = range(6),
) -> list[Tensor | None]:
    """Random arguments in the order of `NAMES`, the same numbers for every dtype; the wanted ones require a gradient.

    Without `first`, the last two are None.
    """
    groups, steps, examples, features, hidden = sizes
    generator = torch.Generator().manual_seed(0)
    weights = [(groups, 4 * hidden, features), (groups, 4 * hidden, hidden), (groups, 4 * hidden)]
    shapes = [(groups, steps, examples, features), *weights, *[(groups, examples, hidden)] * 2]
    tensors = [(torch.randn(shape, generator=generator) * 1.5 * hidden**-0.5).to(dtype) for shape in shapes]
    for index in wanted:
        tensors[index].requires_grad_()
    return tensors if first else [*tensors[:4], None, None]


def mix(tensors: Iterable[Tensor], seed: int) -> Tensor:
    """A random linear function of tensors, the same for every dtype."""
    generator = torch.Generator().manual_seed(seed)
    return sum((t * torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t.dtype)).sum() for t in tensors)


def squares(tensors: Iterable[Tensor], seed: int) -> Tensor:
    """A random quadratic function of tensors."""
    return mix([tensor.square() for tensor in tensors], seed)


def loss(states: Tensor, c_last: Tensor) -> Tensor:
    """A function of a layer's results that is neither linear nor a sum of one of each."""
    return mix([states, c_last], 1) + squares([states, c_last], 2) + mix([states], 3) * mix([c_last], 4)


def derivatives(layer: Layer, given: Iterable[Tensor | None], *options: object) -> list[list[Tensor]]:
    """The layer's results, the gradient of a loss, and the gradient of a nonlinear function of that."""
    given = list(given)
    wanted = [tensor for tensor in given if tensor is not None and tensor.requires_grad]
    results = layer(*given, *options)
    gradient = grad(loss(*results), wanted, create_graph=True)
    return [list(results), list(gradient), list(grad(mix(gradient, 5) + squares(gradient, 6), wanted))]


@pytest.fixture(params=[1, 3], ids=["in_one_piece", "in_pieces"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """In how many pieces of time back-propagation goes, for `SIZES`; the last piece is shorter than the others."""
    _, steps, examples, _, hidden = SIZES
    monkeypatch.setattr(tape, "NUMBERS_IN_A_PIECE", steps * examples * 4 * hidden // request.param)
    return request.param


def test_pieces_go_backwards(pieces: int) -> None:
    inputs, w_x, w_h, *_ = arguments()
    expected = {1: (7, [(0, 7)]), 3: (3, [(6, 7), (3, 6), (0, 3)])}
    assert tape.Tape.blank(inputs, w_x, w_h, None, False).pieces() == expected[pieces]


@each_first
@each_last
@pytest.mark.parametrize("wanted", [range(6), range(1, 6)], ids=["inputs_wanted", "inputs_fixed"])
@pytest.mark.parametrize(("reference", "lengths"), REFERENCES)
@each_dtype
@pytest.mark.usefixtures("pieces")
def test_value_gradient_and_second_derivative(
    dtype: torch.dtype, reference: Layer, lengths: str, wanted: range, last: bool, first: bool
) -> None:  # fmt: skip
    options = lengths_of(lengths), last
    got = derivatives(lstm_layer, arguments(SIZES, dtype, first, wanted), *options)
    want = derivatives(reference, arguments(SIZES, torch.float64, first, wanted), *options)
    for mine, other in zip(got, want, strict=True):
        assert all(tensor.dtype == dtype for tensor in mine)
        assert difference(mine, other) < TOLERANCE[dtype]


def test_the_inputs_vary() -> None:
    states, c_last = by_cell(*arguments())
    for differences in (states.std(dim=2), c_last.std(dim=1), states.std(dim=0), states.std(dim=-1)):
        assert differences.min() > 1e-3  # examples, groups and units differ,
    assert (states[:, 1:] - states[:, :-1]).norm() > 0.1 * states.norm()  # and so do time steps


Case = tuple[tuple[int, ...], torch.dtype, bool, list[int], Tensor | None, bool, int]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Sizes, dtype, whether initial states are given, what is differentiated, lengths, last, numbers in a piece."""
    groups, steps, examples, *_ = sizes = draw(st.tuples(*(st.integers(1, most) for most in (3, 5, 14, 20, 40))))
    first, last = draw(st.booleans()), draw(st.booleans())
    wanted = draw(st.lists(st.integers(0, 5 if first else 3), min_size=1, unique=True))
    each = st.lists(st.integers(0, steps), min_size=groups * examples, max_size=groups * examples)
    lengths = draw(st.none() | each.map(lambda numbers: torch.tensor(numbers).view(groups, examples)))
    return sizes, draw(st.sampled_from(list(TOLERANCE))), first, wanted, lengths, last, 10 ** draw(st.integers(1, 6))


@settings(max_examples=100, deadline=None, derandomize=True)
@drawn(case=cases())
def test_any_sizes(case: Case) -> None:
    sizes, dtype, first, wanted, lengths, last, numbers = case
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tape, "NUMBERS_IN_A_PIECE", numbers)
        got = derivatives(lstm_layer, arguments(sizes, dtype, first, wanted), lengths, last)
    want = derivatives(by_cell, arguments(sizes, torch.float64, first, wanted), lengths, last)
    for mine, other in zip(chain(*got), chain(*want), strict=True):
        assert (mine - other).norm() <= TOLERANCE[dtype] * (other.norm() + 1)


@each_first
@each_last
@each_length
def test_finite_differences(lengths: str, last: bool, first: bool) -> None:
    sizes = (1, 3, 4, 1, 2)
    given = [tensor for tensor in arguments(sizes, first=first) if tensor is not None]

    def layer(*given: Tensor) -> tuple[Tensor, Tensor]:
        return lstm_layer(*given, lengths=lengths_of(lengths, sizes), last=last)

    assert torch.autograd.gradcheck(layer, given)
    assert torch.autograd.gradgradcheck(layer, given)


@pytest.mark.parametrize("outer", range(6), ids=NAMES)
@pytest.mark.parametrize("inner", range(6), ids=NAMES)
def test_any_part_of_the_arguments(inner: int, outer: int) -> None:
    """A gradient with respect to one argument, differentiated with respect to another."""
    both = []
    for layer in (lstm_layer, by_cell):
        given = arguments()
        gradient = grad(loss(*layer(*given, lengths_of("some_empty"))), given[inner], create_graph=True)
        both.append([*gradient, *grad(mix(gradient, 1), given[outer])])
    assert difference(*both) < 1e-10


@each_last
@each_dtype
@pytest.mark.parametrize("content", [torch.nan, torch.inf, 1e30])
def test_padding_is_not_looked_at(dtype: torch.dtype, content: float, last: bool) -> None:
    lengths = lengths_of("some_empty")
    beyond = padding_of(lengths)
    clean, spoiled = arguments(dtype=dtype), arguments(dtype=dtype)
    with torch.no_grad():
        spoiled[0][beyond] = content
    got, want = derivatives(lstm_layer, spoiled, lengths, last), derivatives(lstm_layer, clean, lengths, last)
    assert all(map(torch.equal, chain(*got), chain(*want)))
    for of_inputs in (got[1][0], got[2][0]):
        assert not of_inputs[beyond].any()
        assert of_inputs[~beyond].all()


@each_dtype
@pytest.mark.parametrize("content", [torch.nan, torch.inf, 1e30])
def test_what_a_loss_sends_into_padding_is_not_looked_at(dtype: torch.dtype, content: float) -> None:
    given, lengths = arguments(dtype=dtype), lengths_of("some_empty")
    states, _ = lstm_layer(*given, lengths)
    beyond = padding_of(lengths).unsqueeze(-1)
    got, want = (
        grad(states, given, torch.ones_like(states).masked_fill(beyond, x), retain_graph=True) for x in (content, 0)
    )
    assert all(map(torch.equal, got, want))


@each_dtype
def test_groups_do_not_touch(dtype: torch.dtype) -> None:
    given, lengths = arguments(dtype=dtype), lengths_of("some_empty")
    both = lstm_layer(*given, lengths)
    for group in range(SIZES[0]):
        mine = slice(group, group + 1)
        alone = lstm_layer(*(tensor[mine] for tensor in given), lengths[mine])
        torch.testing.assert_close([whole[mine] for whole in both], list(alone))
        gradient = grad(loss(*(whole[mine] for whole in both)), given, create_graph=True)
        second = grad(mix(gradient, 1), given, retain_graph=True)
        touched = [[bool(tensor[other].any()) for other in range(SIZES[0])] for tensor in (*gradient, *second)]
        assert touched == [[other == group for other in range(SIZES[0])]] * 12


@each_last
@each_dtype
def test_nothing_need_be_contiguous(dtype: torch.dtype, last: bool) -> None:
    def strided(dtype: torch.dtype) -> list[Tensor]:
        given = [tensor.detach().mT.contiguous().mT for tensor in arguments(dtype=dtype)]
        given[3] = given[3][:1].expand(SIZES[0], -1)
        assert not any(tensor.is_contiguous() for tensor in given)
        return [tensor.requires_grad_() for tensor in given]

    def turned(*rest: object) -> tuple[Tensor, Tensor]:
        """The layer, where the derivatives with respect to its results arrive in another order in memory."""
        results = lstm_layer(*rest)
        for tensor in results:
            tensor.register_hook(lambda arriving: arriving.mT.contiguous().mT)
        return results

    lengths = torch.tensor([[0], [3], [SIZES[1]]]).expand(-1, SIZES[2])
    got = derivatives(turned, strided(dtype), lengths, last)
    want = derivatives(by_cell, strided(torch.float64), lengths, last)
    for mine, other in zip(got, want, strict=True):
        assert difference(mine, other) < TOLERANCE[dtype]


@each_dtype
def test_a_graph_walked_twice_gives_the_same(dtype: torch.dtype) -> None:
    given = arguments(dtype=dtype)
    outer = squares(grad(loss(*lstm_layer(*given)), given, create_graph=True), 5)
    assert all(map(torch.equal, grad(outer, given, retain_graph=True), grad(outer, given)))


@each_last
@each_length
def test_several_gradients_of_one_pass(lengths: str, last: bool) -> None:
    """Differentiated together with the pass itself; one of them is of a linear loss, which has no curvature."""
    both = []
    for layer in (lstm_layer, by_cell):
        given = arguments()
        states, c_last = layer(*given, lengths_of(lengths), last)
        losses = mix([states, c_last], 1), squares([states], 2), squares([c_last], 3), loss(states, c_last)
        outers = [squares(grad(value, given, create_graph=True), 5) for value in losses]
        for outer in (*outers, sum(outers), sum(outers) + 10 * loss(states, c_last)):
            both.append(grad(outer, given, retain_graph=True))
    for mine, other in zip(both[:6], both[6:], strict=True):
        assert difference(mine, other) < 1e-10


def test_a_pass_that_was_broken_off_leaves_nothing_behind() -> None:
    def fail(_: Tensor) -> None:
        raise InterruptedError

    given = arguments()
    states, c_last = lstm_layer(*given)
    value = loss(states, c_last)
    gradient = grad(value, given, create_graph=True)
    outer = squares(gradient, 5)
    second = grad(outer, given, retain_graph=True)
    for total, want in ((value, gradient), (outer, second), (value + outer, map(torch.add, gradient, second))):
        hook = states.register_hook(fail)  # between the two halves of the second derivative
        with pytest.raises(InterruptedError):
            grad(outer, given, retain_graph=True)
        hook.remove()
        torch.testing.assert_close(grad(total, given, retain_graph=True), tuple(want), rtol=1e-12, atol=1e-12)


def test_a_backward_pass_within_another() -> None:
    def gradients(layer: Layer) -> list[Tensor]:
        given = arguments(SIZES, torch.float64)
        states, c_last = layer(*given)
        other = c_last.sum()
        gradient = torch.autograd.grad(states.square().sum(), given, create_graph=True)
        within: list[Tensor] = []
        begun: list[bool] = []  # the pass within meets the hook as well

        def interrupt(passing: Tensor) -> Tensor:
            if not begun:
                begun.append(True)
                within.extend(torch.autograd.grad(other, given, retain_graph=True))
            return passing

        states.register_hook(interrupt)
        outer = torch.autograd.grad(sum(tensor.square().sum() for tensor in gradient), given)
        assert len(within) == len(given)
        return [*outer, *within]

    torch.testing.assert_close(gradients(lstm_layer), gradients(by_cell), rtol=1e-10, atol=1e-12)


def test_lengths_are_whole_numbers() -> None:
    lengths = lengths_of("ragged")
    assert lengths is not None
    for other in (lengths.int(), lengths.double()):
        with pytest.raises(TypeError, match="not int64"):
            lstm_layer(*arguments(SIZES, torch.float32), lengths=other)


def test_a_third_derivative_is_refused() -> None:
    given = arguments()
    gradient = grad(loss(*lstm_layer(*given)), given, create_graph=True)
    for outer in (mix(gradient, 5), squares(gradient, 5)):
        with pytest.raises(RuntimeError, match="no third derivative"):
            grad(outer, given, create_graph=True)


@pytest.mark.parametrize("written", ["inputs", "w_x", "w_h", "lengths", "states", "c_last"])
def test_writing_into_what_a_derivative_needs_is_noticed(written: str) -> None:
    given, factor = arguments(), torch.ones((), dtype=torch.float64, requires_grad=True)
    lengths = lengths_of("ragged") if written == "lengths" else None
    states, c_last = lstm_layer(*given, lengths)
    outer = squares(grad(factor * mix([states, c_last], 1), given, create_graph=True), 5)
    walks = (mix([states], 1), given), (mix([c_last], 1), given), (outer, given), (outer, [factor])
    named = dict(zip(NAMES, given, strict=True)) | {"lengths": lengths, "states": states, "c_last": c_last}
    named[written].detach().zero_()
    for total, wanted in walks:
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            grad(total, wanted, retain_graph=True)


@each_last
@each_length
@each_dtype
def test_one_layer_after_another(dtype: torch.dtype, lengths: str, last: bool) -> None:
    """The second begins where the first ended, and shares its weights; both read what other functions made."""

    def two(layer: Layer) -> Layer:
        def run(inputs: Tensor, w_x: Tensor, w_h: Tensor, bias: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
            states, c = layer(inputs.sin(), w_x, w_h, bias, h, c, lengths_of(lengths), False)
            return layer(states.tanh(), w_h, w_h, bias, h.cos(), c, lengths_of(lengths), last)

        return run

    got, want = derivatives(two(lstm_layer), arguments(dtype=dtype)), derivatives(two(by_cell), arguments())
    for mine, other in zip(got, want, strict=True):
        assert difference(mine, other) < TOLERANCE[dtype]


@each_first
@each_last
@pytest.mark.parametrize("lengths", ["whole", "some_empty"])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.usefixtures("pieces")
def test_autocast(precision: torch.dtype, lengths: str, last: bool, first: bool) -> None:
    def rounded(*rest: object) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", precision):
            return lstm_layer(*rest)

    options = lengths_of(lengths), last
    got = derivatives(rounded, arguments(dtype=torch.float32, first=first), *options)
    want = derivatives(by_cell, arguments(first=first), *options)
    for mine, other, most in zip(got, want, (2e-2, 5e-2, 5e-2), strict=True):
        assert all(tensor.dtype == torch.float32 for tensor in mine)
        assert 1e-4 < difference(mine, other) < most  # more than the rounding to float32
    with torch.autocast("cpu", precision):  # the derivatives taken within: no difference
        inside = derivatives(lstm_layer, arguments(dtype=torch.float32, first=first), *options)
    assert all(map(torch.equal, chain(*got), chain(*inside)))


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_rounds_the_operands_of_every_product(precision: torch.dtype) -> None:
    """With one group, step and example, the derivatives of the weights are products without a sum."""

    def rounded(tensor: Tensor) -> Tensor:
        return tensor.to(precision).float()

    given = arguments((1, 1, 1, *SIZES[3:]), torch.float32)
    inputs, _, _, _, h_first, _ = given
    with torch.autocast("cpu", precision):
        _, w_x, w_h, bias, *_ = grad(loss(*lstm_layer(*given)), given)
    for got, factor in ((w_x, inputs[:, 0]), (w_h, h_first)):
        assert torch.equal(rounded(got), rounded(rounded(bias).unsqueeze(-1) * rounded(factor)))
        assert not torch.equal(got, bias.unsqueeze(-1) * factor)


@pytest.mark.parametrize("create_graph", [False, True], ids=["first", "second"])
def test_what_a_layer_remembers_goes_with_the_backward_pass(
    monkeypatch: pytest.MonkeyPatch, create_graph: bool
) -> None:
    tapes = []
    blank = tape.Tape.blank
    monkeypatch.setattr(tape.Tape, "blank", lambda *rest: (tapes.append(made := blank(*rest)), made)[1])
    inputs, w_x, w_h, *_ = arguments()
    weights = w_x.requires_grad_()
    loss = lstm_layer(inputs, weights, w_h, torch.zeros_like(w_h[..., 0]))[0].square().sum()
    if create_graph:
        (gradient,) = torch.autograd.grad(loss, weights, create_graph=True)
        loss = gradient.square().sum()
    remembered = [weakref.ref(tensor) for made in tapes for tensor in (made.gates, made.c)]
    tapes.clear()
    gc.collect()
    assert all(tensor() is not None for tensor in remembered)
    loss.backward()
    gc.collect()
    assert all(tensor() is None for tensor in remembered)
