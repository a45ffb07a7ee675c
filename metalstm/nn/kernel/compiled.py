"""Chooses how the sweeps run: fused by a C compiler for float32 on a CPU, in plain torch otherwise.

`sweeps.c` is compiled once for this machine (a second or two, see `shared_object.py`), loaded with ctypes, and tried
against the plain sweeps before it is used. Where that cannot be, and for anything but float32 on a CPU, the functions
of `passes.py` run as they are.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
from collections.abc import Callable

import torch
from torch import Tensor

from metalstm.nn.kernel.passes import Sweeps, plain_sweeps
from metalstm.nn.kernel.self_test import flaw
from metalstm.nn.kernel.shared_object import Library, NoCompiler, compiled_library

log = logging.getLogger(__name__)

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
    """Return the fastest sweeps for tensors like this one, matrix products rounded to `precision` unless None."""
    if tensor.device.type == "cpu" and tensor.dtype == torch.float32 and precision is None:
        return fused_sweeps() or plain_sweeps()
    return plain_sweeps(precision)


@functools.cache
def fused_sweeps() -> Sweeps | None:
    """Return the compiled sweeps; None where `METALSTM_FUSED=0` says so, or a warning has said why there are none."""
    if os.environ.get("METALSTM_FUSED") == "0":
        return None
    try:
        sweeps = loaded(compiled_library())
    except NoCompiler as error:
        log.warning("slower without a C compiler: %s", error)
        return None
    except OSError as error:
        log.warning("plain torch sweeps, which are slower: %s", error)
        return None
    wrong = flaw(sweeps)
    if wrong is not None:
        log.warning("plain torch sweeps, which are slower: the compiled ones fail their test (%s)", wrong)
        return None
    return sweeps


def loaded(library: Library) -> Sweeps:
    """Return the sweeps of a library. What is loaded is the content that was checked, whatever becomes of the file.

    Raises:
        OSError: the system cannot load it.
    """
    try:
        copy = os.memfd_create("metalstm-sweeps")
        with open(copy, "wb", closefd=False) as file:
            file.write(library.content)
        # It stays open: another library under the number of a closed file would be taken for the one loaded before.
        opened = ctypes.CDLL(f"/proc/self/fd/{copy}")
    except (AttributeError, OSError):  # not on Linux, or files in memory may not be executed there
        opened = ctypes.CDLL(str(library.path))  # in a folder that only this user can write
    names = ("forward_sweep", "backward_sweep", "tangent_forward_sweep", "tangent_backward_sweep")
    return Sweeps(*(fused(getattr(opened, name)) for name in names))


def describe() -> str:
    """Return what runs on this CPU, in words."""
    return "plain torch sweeps" if fused_sweeps() is None else "compiled sweeps"


def fused(function: Callable[..., int]) -> Callable[..., None]:
    """Return a sweep of sweeps.c as a function of torch tensors, which go by name; None is a null pointer."""

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
