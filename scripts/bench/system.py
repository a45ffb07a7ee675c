"""What every system is to the clock, and the list of them."""

from __future__ import annotations

import importlib
import importlib.util
import time
from abc import ABC, abstractmethod

from bench.problem import Array, BenchmarkError, Problem
from metalstm.config.extras import install


class System(ABC):
    """A way to compute a problem's meta-gradient, made ready: its constructor does all that is done once."""

    facts: dict[str, float]  # extra columns of its rows

    @abstractmethod
    def step(self) -> None:
        """One whole meta-gradient."""

    @abstractmethod
    def gradients(self) -> dict[str, Array] | None:
        """The meta-gradient of the last step, named and shaped as `Problem.weights`; None: there is none."""

    def timed_step(self) -> float:
        """The seconds of one whole meta-gradient."""
        started = time.perf_counter()
        self.step()
        return time.perf_counter() - started

    def close(self) -> None:  # noqa: B027
        """Lets go of what lives outside this process: nothing, but for jax."""


CLASSES = {
    "metalstm": ("bench.with_metalstm", "MetalstmSystem"),
    "higher": ("bench.with_higher", "HigherSystem"),
    "torch_func": ("bench.with_torch_func", "TorchFuncSystem"),
    "jax": ("bench.with_jax", "JaxSystem"),
    "matmul": ("bench.with_matmul", "MatmulSystem"),
}


def prepare_here(name: str, problem: Problem, threads: int) -> System:
    """A system in this process, which must not mix jax with torch."""
    module, class_name = CLASSES[name]
    if name == "jax":
        require_jax()
    else:
        import torch

        torch.set_num_threads(threads)
    system: System = getattr(importlib.import_module(module), class_name)(problem)
    return system


def prepare(name: str, problem: Problem, threads: int) -> System:
    """A system for a process with torch: jax runs in a worker."""
    if name != "jax":
        return prepare_here(name, problem, threads)
    require_jax()
    from bench.jax_client import JaxClient

    return JaxClient(problem, threads)


def require_jax() -> None:
    if importlib.util.find_spec("jax") is None:
        raise BenchmarkError(f"jax is not installed: {install('benchmark')}, or leave it out of --systems")
