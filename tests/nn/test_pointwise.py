"""The compiled cells: equal to the plain ones, built once a machine, and never in the way where nothing compiles."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from metalstm.nn import pointwise
from metalstm.nn.pointwise import PLAIN, Cells, cells_for, fused_cells

Choose = Callable[..., None]
# For each function, how many columns (in H) each argument has.
COLUMNS = {
    "forward_cell": (4, 1, 4, 1, 1),
    "backward_cell": (4, 1, 1, 1, 1, 4),
    "tangent_forward_cell": (4, 4, 1, 1, 1, 4, 1, 1),
    "tangent_backward_cell": (4, 1, 1, 4, 1, 1, 1, 1, 1, 1, 4),
}
SIZES = [(1, 1, 1), (2, 3, 13), (4, 5, 64), (3, 7, 100), (8, 50, 64)]  # G, B, H; the last is worth several threads


@pytest.fixture
def compiled() -> Cells:
    cells = fused_cells()
    if cells is None:
        pytest.skip("no C compiler")
    return cells


def random_arguments(name: str, groups: int, examples: int, hidden: int, scale: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(hidden)
    return [scale * torch.randn(groups, examples, columns * hidden, generator=generator) for columns in COLUMNS[name]]


def apply(cells: Cells, name: str, arguments: list[Tensor]) -> list[Tensor]:
    """What the arguments hold after the call; the arguments themselves are left alone.

    As in use, an argument is one of several time steps: its groups do not lie next to each other in memory.
    """
    whole = [torch.stack([torch.full_like(tensor, 7), tensor, torch.full_like(tensor, 7)], 1) for tensor in arguments]
    getattr(cells, name)(*(tensor[:, 1] for tensor in whole))
    assert all(bool((tensor[:, ::2] == 7).all()) for tensor in whole)  # the neighbours in memory are untouched
    return [tensor[:, 1] for tensor in whole]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", COLUMNS)
def test_compiled_cells_equal_the_plain_ones(compiled: Cells, name: str, sizes: tuple[int, int, int]) -> None:
    arguments = random_arguments(name, *sizes)
    got, want = apply(compiled, name, arguments), apply(PLAIN, name, arguments)
    changed = [not torch.equal(before, after) for before, after in zip(arguments, want, strict=True)]
    assert changed == [not torch.equal(before, after) for before, after in zip(arguments, got, strict=True)]
    assert sum(changed) in (2, 3)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [0.0, 1e-20, 0.62, 0.63, 8.0, 9.1, 44.5, 88.5, 100.0, 1e4, 1e30, float("inf")])
def test_extreme_gates_saturate_as_the_plain_ones_do(compiled: Cells, size: float) -> None:
    product = torch.zeros(1, 2, 8)
    product[0, 0], product[0, 1] = size, -size
    arguments = [product, torch.full((1, 2, 2), 0.5), torch.zeros(1, 2, 8), torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)]
    got, want = apply(compiled, "forward_cell", arguments), apply(PLAIN, "forward_cell", arguments)
    assert all(bool(tensor.isfinite().all()) for tensor in got[1:])
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", COLUMNS)
def test_large_arguments(compiled: Cells, name: str) -> None:
    arguments = random_arguments(name, 2, 3, 13, scale=100.0)
    torch.testing.assert_close(apply(compiled, name, arguments), apply(PLAIN, name, arguments), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", COLUMNS)
def test_nan_propagates(compiled: Cells, name: str) -> None:
    arguments = random_arguments(name, 2, 3, 13)
    arguments[0][1, 2, 4] = float("nan")
    got, want = apply(compiled, name, arguments), apply(PLAIN, name, arguments)
    assert [tensor.isnan().sum().item() for tensor in got[1:]] != [0] * (len(got) - 1)
    assert all(torch.equal(mine.isnan(), other.isnan()) for mine, other in zip(got, want, strict=True))


def test_compiled_cells_are_for_float32_on_a_cpu(compiled: Cells) -> None:
    assert cells_for(torch.zeros(1)) is compiled
    assert cells_for(torch.zeros(1, dtype=torch.float64)) is PLAIN
    assert cells_for(torch.zeros(1, device="meta")) is PLAIN
    assert pointwise.describe() == "compiled cells"


def test_they_can_be_switched_off(choose_cells: Choose, caplog: pytest.LogCaptureFixture) -> None:
    choose_cells(METALSTM_FUSED="0")
    assert cells_for(torch.zeros(1)) is PLAIN
    assert pointwise.describe() == "plain torch cells"
    assert not caplog.records  # as asked for: nothing to warn of


@pytest.fixture
def failing_compiler(tmp_path: Path) -> str:
    script = tmp_path / "failing-cc"
    script.write_text("#!/bin/sh\necho cannot do this >&2\nexit 1\n")
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize("trouble", ["missing", "failing", "none installed", "cache folder is a file"])
def test_without_a_working_compiler_the_plain_cells_run(
    choose_cells: Choose, caplog: pytest.LogCaptureFixture, tmp_path: Path, failing_compiler: str, trouble: str
) -> None:
    cache = tmp_path / "cache"
    if trouble == "missing":
        choose_cells(XDG_CACHE_HOME=str(cache), CC=str(tmp_path / "no-such-compiler"))
    elif trouble == "failing":
        choose_cells(XDG_CACHE_HOME=str(cache), CC=failing_compiler)
    elif trouble == "none installed":
        choose_cells(XDG_CACHE_HOME=str(cache), CC=None, PATH=str(tmp_path))
    else:
        cache.write_text("")
        choose_cells(XDG_CACHE_HOME=str(cache))
    with caplog.at_level(logging.WARNING):
        assert cells_for(torch.zeros(1)) is PLAIN
        assert cells_for(torch.zeros(1)) is PLAIN
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # once, not at each call
    assert "slower without a C compiler" in caplog.text
    if trouble == "failing":
        assert "cannot do this" in caplog.text
    assert not list(tmp_path.rglob("*.so"))


def test_compiled_once_into_the_cache_folder(
    compiled: Cells, choose_cells: Choose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = []
    compile_c = pointwise.compile_c
    monkeypatch.setattr(pointwise, "compile_c", lambda *rest: (calls.append(rest), compile_c(*rest)))
    choose_cells(XDG_CACHE_HOME=str(tmp_path), METALSTM_FUSED=None)
    assert fused_cells() is not None
    assert len(calls) == 1
    built = list((tmp_path / "metalstm").iterdir())
    assert [path.suffix for path in built] == [".so"]  # and no scratch files are left

    choose_cells()  # what a second process does
    assert fused_cells() is not None
    assert len(calls) == 1

    monkeypatch.setattr(pointwise, "processor", lambda: "another processor that shares the folder")
    choose_cells()
    assert fused_cells() is not None
    assert len(calls) == 2
    assert len(list((tmp_path / "metalstm").iterdir())) == 2


def test_compiles_without_openmp(
    compiled: Cells, choose_cells: Choose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands = []
    run = pointwise.subprocess.run

    def no_openmp(command: list[str], **options: object) -> object:
        commands.append(command)
        return run([*command, "-no-such-flag"] if "-fopenmp" in command else command, **options)

    monkeypatch.setattr(pointwise.subprocess, "run", no_openmp)
    choose_cells(XDG_CACHE_HOME=str(tmp_path))
    serial = fused_cells()
    assert serial is not None
    assert ["-fopenmp" in command for command in commands] == [True, False]
    arguments = random_arguments("forward_cell", 8, 50, 64)
    got, want = apply(serial, "forward_cell", arguments), apply(PLAIN, "forward_cell", arguments)
    torch.testing.assert_close(got, want, rtol=2e-5, atol=2e-6)
