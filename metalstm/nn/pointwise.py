"""Chooses how the pointwise cells run: fused into one pass by a C compiler, or as plain torch operations.

`cells.c` is compiled once for this machine into a user's cache folder (about a second) and loaded with ctypes. Where no
compiler works, and for anything but float32 on a CPU, the functions of `cells.py` run as they are.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from metalstm.files import user_cache_folder
from metalstm.nn import cells as plain

log = logging.getLogger(__name__)

Cell = Callable[..., None]
FLAGS = (
    "-O3",
    "-march=native",
    "-fopenmp-simd",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-std=gnu11",
    "-fPIC",
    "-shared",
)


class Cells(NamedTuple):
    """The four pointwise functions of `metalstm.nn.cells`, as they are or compiled."""

    forward_cell: Cell
    backward_cell: Cell
    tangent_forward_cell: Cell
    tangent_backward_cell: Cell


PLAIN = Cells(plain.forward_cell, plain.backward_cell, plain.tangent_forward_cell, plain.tangent_backward_cell)


def cells_for(tensor: Tensor) -> Cells:
    """The fastest cells for tensors like this one."""
    if tensor.device.type == "cpu" and tensor.dtype == torch.float32:
        return fused_cells() or PLAIN
    return PLAIN


@functools.cache
def fused_cells() -> Cells | None:
    """The compiled cells; None where `METALSTM_FUSED=0` says so or no compiler works."""
    if os.environ.get("METALSTM_FUSED") == "0":
        return None
    try:
        path = compiled_library()
        library = ctypes.CDLL(str(path))
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("slower without a C compiler: %s", error)
        return None
    return Cells(
        *(fused(getattr(library, cell.__name__), tensors) for cell, tensors in zip(PLAIN, (5, 6, 8, 11), strict=True))
    )


def describe() -> str:
    """What runs on this CPU, in words."""
    return "plain torch cells" if fused_cells() is None else "compiled cells"


def fused(function: Callable[..., None], tensors: int) -> Cell:
    """A C function of [G, B, K] tensors, the last of which has H or 4H columns, as a function of torch tensors."""
    function.argtypes = [ctypes.c_int64] * 3 + [ctypes.c_void_p, ctypes.c_int64] * tensors  # type: ignore[attr-defined]
    function.restype = None  # type: ignore[attr-defined]

    def cell(*arguments: Tensor) -> None:
        groups, examples, hidden = arguments[1].shape if len(arguments) == 5 else arguments[2].shape
        flat: list[int] = []
        for tensor in arguments:
            flat += (tensor.data_ptr(), tensor.stride(0))
        function(groups, examples, hidden, *flat)

    return cell


def compiled_library() -> Path:
    """The shared library of `cells.c` for this machine, compiled if the cache does not hold it.

    Raises:
        OSError, SubprocessError: no compiler, or it failed, or the cache folder cannot be written.
    """
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    compiler = shlex.split(os.environ.get("CC", "")) or ([found] if found else [])
    if not compiler:
        raise FileNotFoundError("neither cc, gcc nor clang is installed")
    source = resources.files("metalstm.nn").joinpath("cells.c").read_bytes()
    key = hashlib.sha256(source + repr((FLAGS, compiler, processor())).encode()).hexdigest()[:16]
    folder = user_cache_folder()
    library = folder / f"cells-{key}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            c_file, built = Path(scratch, "cells.c"), Path(scratch, "cells.so")
            c_file.write_bytes(source)
            compile_c(compiler, c_file, built)
            os.replace(built, library)
    return library


def compile_c(compiler: list[str], c_file: Path, built: Path) -> None:
    """Compiles with threads where the compiler has OpenMP, else without."""
    for openmp in (("-fopenmp",), ()):
        command = [*compiler, *FLAGS, *openmp, str(c_file), "-o", str(built), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode == 0:
            return
    raise OSError(f"{compiler[0]} failed: {done.stderr.strip()[-300:]}")


def processor() -> str:
    """What `-march=native` depends on: a cache folder may be shared by machines of several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    return "\n".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))
