"""The compiled sweeps: equal to the plain ones on any buffers, whatever the threads, and within the buffers' bounds."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from metalstm.nn.kernel.compiled import fused_sweeps
from metalstm.nn.kernel.passes import Sweeps, plain_sweeps

G, S = 2, 5
GUARD = 64  # numbers before and after a buffer
# The shapes of a sweep's tensors: L is 4H, T is S + 1, P the states of all steps or of the last.
READ = {
    "forward": {"inputs": "GSBF", "w_x": "GLF", "w_h": "GLH", "bias": "GL"},
    "backward": {"gates": "GSBL", "c": "GTBH", "w_h": "GLH", "d_states": "GSBH"},
    "tangent_forward": {
        **{"inputs": "GSBF", "v_inputs": "GSBF", "w_x": "GLF", "v_x": "GLF", "w_h": "GLH", "v_h": "GLH"},
        **{"v_bias": "GL", "gates": "GSBL", "h": "GTBH", "c": "GTBH"},
    },
    "tangent_backward": {
        **{"gates": "GSBL", "c": "GTBH", "w_h": "GLH", "v_h": "GLH", "gates_dot": "GSBL", "c_dot": "GTBH"},
        **{"d_z": "GSBL", "d_h": "GSBH", "d_c_after": "GSBH", "d_states_dot": "GSBH"},
    },
}
WRITTEN = {
    "forward": {"gates": "GSBL", "h": "GTBH", "c": "GTBH"},
    "backward": {"d_h": "GSBH", "d_c_after": "GSBH", "d_z": "GZBL", "arriving": "GBH", "d_c": "GBH"},
    "tangent_forward": {"gates_dot": "GSBL", "h_dot": "GTBH", "c_dot": "GTBH"},
    "tangent_backward": {"d_z_dot": "GZBL", "arriving_dot": "GBH", "d_c_dot": "GBH"},
}
MAY_BE_NONE = {"forward": (), "backward": ("d_states", "d_h", "d_c_after"), "tangent_forward": ("v_inputs",)}
MAY_BE_NONE["tangent_backward"] = ("d_states_dot",)
Buffers = dict[str, Tensor | None]


class Options(NamedTuple):
    """How a sweep is called: with all or none of what may be None, and with which of what it may be told."""

    everything: bool = True
    lengths: bool = False
    last: bool = False
    steps: tuple[int, int] = (0, S)
    to_start: bool = True


FULL, LEAN = Options(lengths=True, last=True), Options(everything=False, to_start=False)
OPTIONS = [
    *(Options(), FULL, LEAN, Options(lengths=True), Options(last=True)),
    *(Options(steps=(1, 3)), Options(lengths=True, last=True, steps=(3, 5)), Options(steps=(0, 2), to_start=False)),
]
each_sweep = pytest.mark.parametrize("name", Sweeps._fields)


@pytest.fixture
def compiled() -> Sweeps:
    sweeps = fused_sweeps()
    if sweeps is None:
        pytest.skip("no C compiler")
    return sweeps


@pytest.fixture
def threads_restored() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def random_buffers(name: str, examples: int, features: int, hidden: int, options: Options = FULL) -> Buffers:
    """Random contents for what a sweep reads; not a number where it writes and has nothing to read."""
    first, after = options.steps
    size = {"G": G, "S": S, "T": S + 1, "Z": after - first, "B": examples, "F": features, "H": hidden, "L": 4 * hidden}
    generator = torch.Generator().manual_seed(hidden)
    buffers: Buffers = {}
    for tensor, letters in (READ[name] | WRITTEN[name]).items():
        if tensor.startswith("d_states") and options.last:
            letters = "GBH"
        content = torch.randn([size[letter] for letter in letters], generator=generator)
        if letters.startswith("GL"):
            content *= (features + hidden) ** -0.5
        if tensor in WRITTEN[name] and letters != "GBH":
            content[:, 1 if letters == "GTBH" else 0 :] = torch.nan  # slot 0 of states is given
        buffers[tensor] = content if options.everything or tensor not in MAY_BE_NONE[name] else None
    if name != "tangent_forward":
        count = torch.arange(G * examples).view(G, examples)
        buffers["lengths"] = count % (S + 1) if options.lengths else None
    return buffers


def apply(sweeps: Sweeps, name: str, buffers: Buffers, options: Options = FULL) -> dict[str, Tensor]:
    """What a sweep has written; the buffers themselves are left alone, and so must be all else in memory."""
    zones = {tensor: torch.full((content.numel() + 2 * GUARD,), 7, dtype=content.dtype) for tensor, content in
             buffers.items() if content is not None}  # fmt: skip
    given: Buffers = dict(buffers)
    for tensor, zone in zones.items():
        given[tensor] = zone[GUARD:-GUARD].view(buffers[tensor].shape).copy_(buffers[tensor])
    told = {"steps": options.steps, "to_start": options.to_start, "last": options.last}
    getattr(sweeps, name)(**given, **(told if "backward" in name else {}))
    for tensor, zone in zones.items():
        assert (zone[:GUARD] == 7).all()
        assert (zone[-GUARD:] == 7).all()
        if tensor not in WRITTEN[name]:
            torch.testing.assert_close(given[tensor], buffers[tensor], rtol=0, atol=0, equal_nan=True)
    if name == "forward":
        i, _, g, _ = given["gates"].chunk(4, dim=-1)
        g *= i  # where nothing is taken in, beyond the lengths, g may be anything
    return {tensor: given[tensor] for tensor in WRITTEN[name] if given[tensor] is not None}


def check(compiled: Sweeps, name: str, buffers: Buffers, options: Options = FULL) -> None:
    got, want = apply(compiled, name, buffers, options), apply(plain_sweeps(), name, buffers, options)
    for tensor, content in want.items():
        assert options.steps != (0, S) or content.isfinite().all()
        assert not torch.equal(content, buffers[tensor])
        scale = float(content.nan_to_num().abs().max())
        torch.testing.assert_close(got[tensor], content, rtol=1e-4, atol=1e-5 * scale, equal_nan=True, msg=tensor)


@pytest.mark.parametrize("hidden", [1, 3, 16, 17, 64, 65, 100])
@pytest.mark.parametrize("examples", [1, 5, 6, 7, 47, 48, 49, 100])
@each_sweep
def test_any_sizes(compiled: Sweeps, name: str, examples: int, hidden: int) -> None:
    for features, options in ((1, LEAN), (28, FULL)):
        check(compiled, name, random_buffers(name, examples, features, hidden, options), options)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@each_sweep
def test_any_options(compiled: Sweeps, name: str, options: Options) -> None:
    check(compiled, name, random_buffers(name, 13, 4, 9, options), options)


@each_sweep
@pytest.mark.parametrize("examples", [7, 100])
@pytest.mark.usefixtures("threads_restored")
def test_the_number_of_threads_changes_nothing(compiled: Sweeps, name: str, examples: int) -> None:
    buffers = random_buffers(name, examples, 28, 64)
    results = []
    for threads in (1, 2, 3, 16):
        torch.set_num_threads(threads)
        results.append(apply(compiled, name, buffers))
    for result in results[1:]:
        assert all(torch.equal(result[tensor], content) for tensor, content in results[0].items())


@pytest.mark.parametrize("size", [0.0, 1e-20, 0.62, 0.63, 8.0, 9.1, 44.5, 88.5, 100.0, 1e4, 1e30, torch.inf])
def test_extreme_gates_saturate_as_the_plain_ones_do(compiled: Sweeps, size: float) -> None:
    buffers = random_buffers("forward", 3, 2, 5)
    buffers |= {"w_x": torch.zeros(G, 20, 2), "w_h": torch.zeros(G, 20, 5), "lengths": None}
    buffers["bias"] = torch.stack((torch.full((20,), size), torch.full((20,), -size)))
    buffers["c"][:, 0] = 0.5
    got, want = apply(compiled, "forward", buffers), apply(plain_sweeps(), "forward", buffers)
    assert all(bool(tensor.isfinite().all()) for tensor in got.values())
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-7)


@each_sweep
def test_large_numbers(compiled: Sweeps, name: str) -> None:
    buffers = random_buffers(name, 3, 4, 13)
    for tensor in ("inputs", "bias", "c", "d_states", "v_inputs", "d_states_dot"):
        if buffers.get(tensor) is not None:
            buffers[tensor] *= 100
    check(compiled, name, buffers)


@each_sweep
def test_nan_goes_where_it_goes_in_the_plain_ones(compiled: Sweeps, name: str) -> None:
    for tensor in (*READ[name], *(tensor for tensor, letters in WRITTEN[name].items() if letters in ("GTBH", "GBH"))):
        options = Options()
        buffers = random_buffers(name, 7, 4, 9, options)
        clean = apply(plain_sweeps(), name, buffers, options)
        buffers[tensor][(1, *(0 for _ in buffers[tensor].shape[1:]))] = torch.nan
        got, want = (apply(sweeps, name, buffers, options) for sweeps in (compiled, plain_sweeps()))
        assert all(torch.equal(got[written].isnan(), content.isnan()) for written, content in want.items()), tensor
        assert any((content.isnan() & ~clean[written].isnan()).any() for written, content in want.items()), tensor
