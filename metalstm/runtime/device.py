"""The device, the threads and the memory of this process."""

from __future__ import annotations

import torch

from metalstm.errors import ConfigError
from metalstm.runtime.budget import BUDGET, MIB, default_limit, usable
from metalstm.runtime.malloc import keep_freed_memory


def use_machine(device: str, threads: int | None, memory_budget: int | None = None) -> None:
    """Set the number of threads, how much memory is used and how it is kept, and makes sure of the device.

    Args:
        device: where to compute.
        threads: None: as many as torch takes by itself.
        memory_budget: MiB; None: see `default_limit`.

    Raises:
        ConfigError: no such device here.
    """
    check_device(device)
    if threads is not None:
        torch.set_num_threads(threads)
    keep_freed_memory()
    use_budget(device, memory_budget)


def use_budget(device: str, memory_budget: int | None) -> None:
    """Set how much memory is used; see `use_machine`."""
    BUDGET.limit = usable(default_limit(torch.device(device)) if memory_budget is None else memory_budget * MIB)


def check_device(device: str) -> None:
    """Refuse a device that is not here; there is no silent fall-back.

    Raises:
        ConfigError: no such device.
    """
    try:
        if torch.device(device).type not in ("cpu", "cuda"):
            raise RuntimeError("it is neither cpu nor cuda")
        if torch.device(device).type == "cpu" and device != "cpu":  # cpu:1, which no checkpoint is read back to
            raise RuntimeError("cpu has no number")
        torch.empty(1, device=torch.device(device))
    except (RuntimeError, AssertionError) as error:
        raise ConfigError.of(
            f"device={device} cannot be used here: {str(error).splitlines()[0]}", "use device=cpu"
        ) from error
