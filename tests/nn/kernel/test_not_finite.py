"""What is not a number, or infinite, goes through the compiled sweeps as through torch's own LSTM, and by defined C."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from metalstm.nn.kernel import shared_object
from metalstm.nn.kernel.compiled import fused_sweeps
from metalstm.nn.kernel.layer import lstm_layer
from support.layers import by_torch

CELLS = Path(shared_object.__file__).with_name("cells.h")
# Ends by a signal where C does not define what a number that does not fit an integer becomes.
UNDEFINED = ("-fsanitize=undefined,float-cast-overflow", "-fsanitize-undefined-trap-on-error")
PROGRAM = """
#include <stdio.h>
#include "{cells}"
int main(void) {{ volatile float x = {value}; printf("%g", {function}(x)); return 0; }}
"""


@pytest.mark.parametrize(
    ("value", "function", "result"),
    [
        *(("NAN", function, "nan") for function in ("exponential", "sigmoid", "hyperbolic_tangent")),
        *(("-NAN", function, "nan") for function in ("exponential", "sigmoid", "hyperbolic_tangent")),
        *(("INFINITY", "sigmoid", "1"), ("-INFINITY", "sigmoid", "0"), ("0.0f", "exponential", "1")),
        *(("INFINITY", "hyperbolic_tangent", "1"), ("-INFINITY", "hyperbolic_tangent", "-1")),
    ],
)
def test_no_number_becomes_an_integer_that_does_not_hold_it(
    value: str, function: str, result: str, tmp_path: Path
) -> None:
    compiler = shutil.which("gcc") or shutil.which("clang") or pytest.skip("no C compiler that looks for this")
    (tmp_path / "main.c").write_text(PROGRAM.format(cells=CELLS, value=value, function=function))
    command = [compiler, "-std=gnu11", "-w", *UNDEFINED, "main.c", "-o", "main", "-lm"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert float(done.stdout) == pytest.approx(float(result), abs=1e-30, nan_ok=True)


def layer_and_gradient(layer: Callable[..., tuple[Tensor, ...]], where: str, value: float) -> list[Tensor]:
    """A layer's results and gradients, where one number of one example (or of the weights) is this value."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"inputs": (1, 4, 5, 3), "w_x": (1, 28, 3), "w_h": (1, 28, 7), "bias": (1, 28)}
    given = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    given["inputs"][0, 1, 2, 0] = value if where == "inputs" else 0.5
    given["bias"][0, 1] = value if where == "bias" else 0.5
    tensors = [tensor.requires_grad_() for tensor in given.values()]
    states, c_last = layer(*tensors, torch.zeros(1, 5, 7), torch.zeros(1, 5, 7), None, False)
    return [states, c_last, *torch.autograd.grad(states.sum() + c_last.sum(), tensors)]


@pytest.mark.parametrize("where", ["inputs", "bias"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_it_goes_where_it_goes_in_torch(where: str, value: float) -> None:
    if fused_sweeps() is None:
        pytest.skip("no C compiler")
    got, want = (layer_and_gradient(layer, where, value) for layer in (lstm_layer, by_torch))
    torch.testing.assert_close(got[:2], want[:2], rtol=1e-5, atol=1e-6, equal_nan=True)
    assert all(torch.equal(mine.isfinite(), other.isfinite()) for mine, other in zip(got, want, strict=True))
    assert value == value or all(tensor.isnan().any() for tensor in got[:2])
