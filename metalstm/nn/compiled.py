"""Chooses how the sweeps run: fused by a C compiler for float32 on a CPU, in plain torch otherwise.

`sweeps.c` is compiled once for this machine into a user's cache folder (a second or two) and loaded with ctypes. Where
no compiler works, and for anything but float32 on a CPU, the functions of `sweeps.py` run as they are.
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
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor

from metalstm.files import user_cache_folder
from metalstm.nn.sweeps import Sweeps, plain_sweeps

log = logging.getLogger(__name__)

SOURCES = ("sweeps.c", "products.h", "cells.h")
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
SIZES = ("threads", "G", "S", "B", "F", "H", "first", "after", "Z", "to_start", "last")
TENSORS = (
    *("lengths", "inputs", "w_x", "w_h", "bias", "gates", "h", "c"),
    *("d_states", "d_h", "d_c_after", "d_z", "arriving", "d_c"),
    *("v_inputs", "v_x", "v_h", "v_bias", "gates_dot", "h_dot", "c_dot"),
    *("d_states_dot", "d_z_dot", "arriving_dot", "d_c_dot"),
)


class Sweep(ctypes.Structure):
    """`Sweep` of sweeps.c."""

    _fields_ = [(name, ctypes.c_int64) for name in SIZES] + [(name, ctypes.c_void_p) for name in TENSORS]


def sweeps_for(tensor: Tensor, precision: torch.dtype | None = None) -> Sweeps:
    """The fastest sweeps for tensors like this one, matrix products rounded to `precision` unless None."""
    if tensor.device.type == "cpu" and tensor.dtype == torch.float32 and precision is None:
        return fused_sweeps() or plain_sweeps()
    return plain_sweeps(precision)


@functools.cache
def fused_sweeps() -> Sweeps | None:
    """The compiled sweeps; None where `METALSTM_FUSED=0` says so or no compiler works."""
    if os.environ.get("METALSTM_FUSED") == "0":
        return None
    try:
        library = ctypes.CDLL(str(compiled_library()))
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("slower without a C compiler: %s", error)
        return None
    names = ("forward_sweep", "backward_sweep", "tangent_forward_sweep", "tangent_backward_sweep")
    return Sweeps(*(fused(getattr(library, name)) for name in names))


def describe() -> str:
    """What runs on this CPU, in words."""
    return "plain torch sweeps" if fused_sweeps() is None else "compiled sweeps"


def fused(function: Callable[..., int]) -> Callable[..., None]:
    """A sweep of sweeps.c as a function of torch tensors, which go by name; None is a null pointer."""

    def sweep(
        *,
        steps: tuple[int, int] | None = None,
        to_start: bool = True,
        last: bool = False,
        **tensors: Tensor | None,
    ) -> None:
        given = {name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}
        groups, all_steps, examples, gates = given["gates"].shape
        arguments = Sweep(
            threads=torch.get_num_threads(),
            G=groups,
            S=all_steps,
            B=examples,
            F=given["inputs"].shape[-1] if "inputs" in given else 0,
            H=gates // 4,
            to_start=to_start,
            last=last,
        )
        if steps is not None:
            arguments.first, arguments.after = steps
            arguments.Z = given["d_z_dot" if "d_z_dot" in given else "d_z"].shape[1]
        for name, tensor in given.items():
            setattr(arguments, name, tensor.data_ptr())
        if function(ctypes.byref(arguments)) != 0:
            raise MemoryError("no memory for the weights of one LSTM layer")

    return sweep


def compiled_library() -> Path:
    """The shared library of `SOURCES` for this machine, compiled if the cache does not hold it.

    Raises:
        OSError, SubprocessError: no compiler, or it failed, or the cache folder cannot be written.
    """
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    compiler = shlex.split(os.environ.get("CC", "")) or ([found] if found else [])
    if not compiler:
        raise FileNotFoundError("neither cc, gcc nor clang is installed")
    sources = {name: resources.files("metalstm.nn").joinpath(name).read_bytes() for name in SOURCES}
    key = hashlib.sha256(repr((sources, FLAGS, compiler, processor())).encode()).hexdigest()[:16]
    folder = user_cache_folder()
    library = folder / f"sweeps-{key}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            for name, content in sources.items():
                Path(scratch, name).write_bytes(content)
            built = Path(scratch, "sweeps.so")
            started = time.monotonic()
            compile_c(compiler, Path(scratch, SOURCES[0]), built)
            os.replace(built, library)
            log.info("compiled the sweeps of the LSTM in %.1f s, into %s", time.monotonic() - started, library)
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
