"""How the sweeps are chosen: compiled once a machine, and never in the way where nothing compiles."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from metalstm.nn.kernel import compiled, shared_object
from metalstm.nn.kernel.compiled import fused_sweeps, sweeps_for
from metalstm.nn.kernel.layer import lstm_layer
from metalstm.nn.kernel.passes import Sweeps, forward
from metalstm.nn.kernel.self_test import WRITTEN, flaw
from support.tensors import difference

Choose = Callable[..., None]
SIZES = (2, 28, 25, 28, 64)  # G, S, B, F, H; worth several threads


@pytest.fixture
def fused() -> Sweeps:
    sweeps = fused_sweeps()
    if sweeps is None:
        pytest.skip("no C compiler")
    return sweeps


def is_plain(sweeps: Sweeps, precision: torch.dtype | None = None) -> bool:
    return [getattr(sweep, "func", None) is forward for sweep in sweeps] == [True, False, False, False] and (
        sweeps.forward.keywords == {"precision": precision}
    )


def arguments() -> list[Tensor]:
    groups, steps, examples, features, hidden = SIZES
    generator = torch.Generator().manual_seed(0)
    weights = [(groups, 4 * hidden, features), (groups, 4 * hidden, hidden), (groups, 4 * hidden)]
    shapes = [(groups, steps, examples, features), *weights, *[(groups, examples, hidden)] * 2]
    return [(0.1 * torch.randn(shape, generator=generator)).requires_grad_() for shape in shapes]


def derivatives() -> list[Tensor]:
    """The results of a layer in float32, and its first two derivatives."""
    given = arguments()
    results = lstm_layer(*given)
    gradient = torch.autograd.grad(sum(t.square().sum() for t in results), given, create_graph=True)
    return [*results, *gradient, *torch.autograd.grad(sum(t.square().sum() for t in gradient), given)]


def test_for_float32_on_a_cpu_in_full_precision(fused: Sweeps) -> None:
    assert sweeps_for(torch.zeros(1)) is fused
    assert not is_plain(fused)
    assert is_plain(sweeps_for(torch.zeros(1, dtype=torch.float64)))
    assert is_plain(sweeps_for(torch.zeros(1, device="meta")))
    assert is_plain(sweeps_for(torch.zeros(1), torch.bfloat16), torch.bfloat16)
    assert compiled.describe() == "compiled sweeps"


def test_they_can_be_switched_off(choose_sweeps: Choose, caplog: pytest.LogCaptureFixture) -> None:
    choose_sweeps(METALSTM_FUSED="0")
    assert fused_sweeps() is None
    assert is_plain(sweeps_for(torch.zeros(1)))
    assert compiled.describe() == "plain torch sweeps"
    assert not caplog.records  # as asked for: nothing to warn of


def test_they_make_the_same_layer(fused: Sweeps, choose_sweeps: Choose) -> None:
    with_c = derivatives()
    choose_sweeps(METALSTM_FUSED="0")
    assert 0 < difference(with_c, derivatives()) < 1e-5  # not the very same numbers: these were other sweeps


@pytest.fixture
def failing_compiler(tmp_path: Path) -> str:
    script = tmp_path / "failing-cc"
    script.write_text("#!/bin/sh\necho cannot do this >&2\nexit 1\n")
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize("trouble", ["unreadable", "missing", "failing", "writing nothing", "none installed"])
def test_without_a_working_compiler_the_plain_sweeps_run(
    choose_sweeps: Choose, caplog: pytest.LogCaptureFixture, tmp_path: Path, failing_compiler: str, trouble: str
) -> None:
    cache = tmp_path / "cache"
    if trouble == "missing":
        choose_sweeps(METALSTM_FUSED=None, XDG_CACHE_HOME=str(cache), CC=str(tmp_path / "no-such-compiler"))
    elif trouble == "unreadable":
        choose_sweeps(METALSTM_FUSED=None, XDG_CACHE_HOME=str(cache), CC="gcc '")
    elif trouble == "failing":
        choose_sweeps(METALSTM_FUSED=None, XDG_CACHE_HOME=str(cache), CC=failing_compiler)
    elif trouble == "writing nothing":
        choose_sweeps(METALSTM_FUSED=None, XDG_CACHE_HOME=str(cache), CC="true")
    else:
        choose_sweeps(METALSTM_FUSED=None, XDG_CACHE_HOME=str(cache), CC=None, PATH=str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert is_plain(sweeps_for(torch.zeros(1)))
        assert is_plain(sweeps_for(torch.zeros(1)))
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # once, not at each call
    assert "slower without a C compiler" in caplog.text
    said = {"failing": "cannot do this", "writing nothing": "true ended well, but wrote no "}.get(trouble, "")
    assert said in caplog.text
    assert compiled.describe() == "plain torch sweeps"
    assert not list(tmp_path.rglob("*.so"))


def test_compiled_once_into_the_cache_folder(
    fused: Sweeps, choose_sweeps: Choose, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    for _process in range(2):
        choose_sweeps(METALSTM_FUSED=None, XDG_CACHE_HOME=str(tmp_path))
        with caplog.at_level(logging.INFO):
            assert fused_sweeps() is not None
        manifest, made, lock = sorted((tmp_path / "metalstm").iterdir())  # no scratch files are left
        assert (manifest.suffix, made.suffix, lock.name) == (".json", ".so", "sweeps-lock")
        assert len(caplog.records) == 1
        assert "compiled the sweeps of the LSTM in" in caplog.text
        assert str(made) in caplog.text


def test_compiles_without_openmp(
    fused: Sweeps, choose_sweeps: Choose, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    commands = []
    run = shared_object.subprocess.run

    def no_openmp(command: list[str], **options: object) -> object:
        if "--version" not in command:
            commands.append(command)
        return run([*command, "-no-such-flag"] if "-fopenmp" in command else command, **options)

    with_openmp = derivatives()
    monkeypatch.setattr(shared_object.subprocess, "run", no_openmp)
    choose_sweeps(METALSTM_FUSED=None, XDG_CACHE_HOME=str(tmp_path))
    assert fused_sweeps() is not None
    assert ["-fopenmp" in command for command in commands] == [True, False]
    assert difference(derivatives(), with_openmp) < 1e-6


def test_sweeps_that_give_other_numbers_are_not_used(
    fused: Sweeps, choose_sweeps: Choose, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(**given: Tensor) -> None:
        fused.tangent_backward(**given)
        given["d_c_dot"][0, 0, 0] += 0.01

    monkeypatch.setattr(compiled, "loaded", lambda made: fused._replace(tangent_backward=wrong))
    choose_sweeps(METALSTM_FUSED=None)
    assert is_plain(sweeps_for(torch.zeros(1)))
    assert (
        "plain torch sweeps, which are slower: the compiled ones fail their test (d_c_dot of the tangent_backward"
        in (caplog.text)
    )


@pytest.mark.parametrize("tensor", [f"{name} {one}" for name in WRITTEN for one in WRITTEN[name].split()])
@pytest.mark.parametrize("error", [1e-2, torch.nan])
def test_the_self_test_looks_at_all_that_is_written(fused: Sweeps, tensor: str, error: float) -> None:
    name, written = tensor.split()

    def wrong(**given: Tensor) -> None:
        getattr(fused, name)(**given)
        given[written][-1, -1, -1] += error

    assert flaw(fused) is None
    assert f"{written} of the {name} sweep is off by" in str(flaw(fused._replace(**{name: wrong})))


def test_the_self_test_does_not_depend_on_the_torch_of_the_moment(fused: Sweeps) -> None:
    before = torch.get_default_dtype(), torch.random.get_rng_state()
    torch.set_default_dtype(torch.float64)
    with torch.device("meta"), torch.autocast("cpu"):
        found = flaw(fused)
    torch.set_default_dtype(before[0])
    assert found is None
    assert torch.equal(torch.random.get_rng_state(), before[1])


@pytest.mark.parametrize("wrong", range(6), ids=["inputs", "w_x", "w_h", "bias", "h_first", "c_first"])
def test_what_does_not_fit_is_refused(fused: Sweeps, wrong: int) -> None:
    """C code would read beyond the end of a tensor without a word."""
    for dim in (0, -1):
        given = arguments()
        tensor = given[wrong]
        less, more = tensor.narrow(dim, 0, tensor.shape[dim] - 1), torch.cat((tensor, tensor.narrow(dim, 0, 1)), dim)
        given[wrong] = less if wrong == 0 else more
        with pytest.raises((RuntimeError, ValueError)):
            lstm_layer(*given)


@pytest.mark.parametrize("wrong", [1, 2, 3], ids=["w_x", "w_h", "bias"])
def test_weights_of_another_precision_are_refused(fused: Sweeps, wrong: int) -> None:
    given = arguments()
    given[wrong] = given[wrong].double()
    with pytest.raises((RuntimeError, ValueError, TypeError)):
        lstm_layer(*given)
