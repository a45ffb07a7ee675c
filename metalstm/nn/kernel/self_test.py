"""A test of the compiled sweeps against the plain ones, as they are loaded: values, gradient and second derivative.

It is there for what no checksum tells: a compiler that makes wrong code, or a processor that runs it wrongly.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from metalstm.nn.kernel.passes import Sweeps, plain_sweeps

# G, S, B, F, H and, by their letters, what follows from them; so odd that no tile of the compiled products is full.
SIZES = {"G": 2, "S": 2, "T": 3, "B": 7, "F": 3, "H": 21, "L": 84}
SHAPES = {
    **dict.fromkeys(("inputs", "v_inputs"), "GSBF"),
    **dict.fromkeys(("w_x", "v_x"), "GLF"),
    **dict.fromkeys(("w_h", "v_h"), "GLH"),
    **dict.fromkeys(("bias", "v_bias"), "GL"),
    **dict.fromkeys(("gates", "gates_dot", "d_z", "d_z_dot"), "GSBL"),
    **dict.fromkeys(("h", "c", "h_dot", "c_dot"), "GTBH"),
    **dict.fromkeys(("d_states", "d_states_dot", "d_h", "d_c_after"), "GSBH"),
    **dict.fromkeys(("arriving", "d_c", "arriving_dot", "d_c_dot"), "GBH"),
}
READ = {
    "forward": "inputs w_x w_h bias",
    "backward": "gates c w_h d_states",
    "tangent_forward": "inputs v_inputs w_x v_x w_h v_h v_bias gates h c",
    "tangent_backward": "gates c w_h v_h gates_dot c_dot d_z d_h d_c_after d_states_dot",
}
WRITTEN = {
    "forward": "gates h c",
    "backward": "d_h d_c_after d_z arriving d_c",
    "tangent_forward": "gates_dot h_dot c_dot",
    "tangent_backward": "d_z_dot arriving_dot d_c_dot",
}
TOLERANCE = 1e-4  # of float32, as a fraction of the largest number


def flaw(sweeps: Sweeps) -> str | None:
    """Say in which sweep, and by how much, these are off the plain ones of float64; None: in none."""
    with torch.inference_mode():
        for name in Sweeps._fields:
            wanted = _written(plain_sweeps(), name, torch.float64)
            for tensor, content in _written(sweeps, name, torch.float32).items():
                off = float((content - wanted[tensor]).abs().max() / wanted[tensor].abs().max())
                if not off < TOLERANCE:  # nor where it is not a number
                    return f"{tensor} of the {name} sweep is off by {off:.1e} of its size"
    return None


def _written(sweeps: Sweeps, name: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return what a sweep writes, of buffers that are always the same."""
    buffers = {tensor: _buffer(tensor, dtype) for tensor in f"{READ[name]} {WRITTEN[name]}".split()}
    options: dict[str, Any] = {} if name == "tangent_forward" else {"lengths": None}
    if "backward" in name:
        lengths = torch.arange(SIZES["B"], device="cpu") % SIZES["T"]  # of sequences that are over sooner or later
        options = {"lengths": lengths.repeat(SIZES["G"], 1), "steps": (0, SIZES["S"]), "to_start": True, "last": False}
    getattr(sweeps, name)(**buffers, **options)
    return {tensor: buffers[tensor] for tensor in WRITTEN[name].split()}


def _buffer(tensor: str, dtype: torch.dtype) -> Tensor:
    """Numbers between -1 and 1; those of a weight small, as a layer's are."""
    shape = [SIZES[letter] for letter in SHAPES[tensor]]
    numbers = torch.arange(math.prod(shape), dtype=torch.float64, device="cpu")
    scale = 0.3 if SHAPES[tensor].startswith("GL") else 1.0
    return (scale * torch.sin(12.9898 * (numbers + len(tensor)))).to(dtype).view(shape)
