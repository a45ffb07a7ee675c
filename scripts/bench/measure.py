"""The rules of measuring: first agreement, then turns, then memory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.problem import Array, BenchmarkError, Case
from bench.system import System

SCRIPTS = Path(__file__).parents[1]
TOLERANCE = 1e-4  # of the difference's norm, relative to the gradient's, for each weight, in float32
LEAST_ROUNDS = 3


def check_agreement(systems: Mapping[str, System], reference: str = "metalstm") -> None:
    """Lets every system take a step, which also warms it up, and compares their meta-gradients with the reference's.

    Raises:
        BenchmarkError: two systems differ, so that their times would be of different things; or a gradient is zero.
    """
    for system in systems.values():
        system.step()
    expected = systems[reference].gradients()
    assert expected is not None
    for weight, gradient in expected.items():
        if not 0 < np.linalg.norm(gradient) < np.inf:
            raise BenchmarkError(f"the meta-gradient of {weight} by {reference} has norm {np.linalg.norm(gradient)}")
    for name, system in systems.items():
        gradients = system.gradients()
        if gradients is not None:
            compare(name, gradients, expected, reference)


def compare(name: str, gradients: Mapping[str, Array], expected: Mapping[str, Array], reference: str) -> None:
    """Raises a `BenchmarkError` unless two systems' gradients of all weights are the same up to rounding."""
    for weight, gradient in expected.items():
        difference = np.linalg.norm(gradients[weight] - gradient) / np.linalg.norm(gradient)
        if not difference < TOLERANCE:
            raise BenchmarkError(
                f"{name} and {reference} disagree on the meta-gradient of {weight}: "
                f"relative difference {difference:.1e}, bound {TOLERANCE:.0e}; nothing was timed"
            )


def take_turns(systems: Mapping[str, System], rounds: int, budget_s: float) -> dict[str, list[float]]:
    """The seconds of each step of every system: one step each, again and again, so that all meet the same weather.

    Args:
        systems: warmed up.
        rounds: how often.
        budget_s: after so many seconds no round is begun, unless there were fewer than `LEAST_ROUNDS`.
    """
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    started = time.perf_counter()
    for done in range(rounds):
        if done >= LEAST_ROUNDS and time.perf_counter() - started > budget_s:
            break
        for name, system in systems.items():
            seconds[name].append(system.timed_step())
    return seconds


def peak_mib(name: str, case: Case, threads: int) -> float:
    """What a step takes at its most, in MiB, measured in a process of its own: see `bench.peak`."""
    command = [sys.executable, "-m", "bench.peak", name, case.to_json(), str(threads)]
    done = subprocess.run(command, cwd=SCRIPTS, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"measuring the memory of {name} ended with code {done.returncode}; its words are above")
    return float(done.stdout)
