"""The side of `jax_worker` that lives in the process with torch."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.measure import SCRIPTS
from bench.problem import Array, BenchmarkError, Problem
from bench.system import System


class JaxClient(System):
    """The worker makes the problem itself, from the case: the numbers are the same."""

    def __init__(self, problem: Problem, threads: int) -> None:
        self.worker = subprocess.Popen(
            [sys.executable, "-m", "bench.jax_worker", problem.case.to_json(), str(threads)],
            cwd=SCRIPTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = self.read()

    def step(self) -> None:
        self.timed_step()

    def timed_step(self) -> float:
        """The seconds by the worker's own clock, so that the pipe is not counted."""
        return self.ask(do="step")["seconds"]

    def gradients(self) -> dict[str, Array]:
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder, "gradients.npz"))
            self.ask(do="gradients", file=file)
            with np.load(file) as arrays:
                return dict(arrays)

    def ask(self, **request: str) -> dict[str, float]:
        assert self.worker.stdin is not None
        self.worker.stdin.write(json.dumps(request) + "\n")
        self.worker.stdin.flush()
        return self.read()

    def read(self) -> dict[str, float]:
        assert self.worker.stdout is not None
        line = self.worker.stdout.readline()
        if not line:
            raise BenchmarkError(f"the process with jax ended with code {self.worker.wait()}; its own words are above")
        answer: dict[str, float] = json.loads(line)
        return answer

    def close(self) -> None:
        self.worker.communicate()  # closes its input, at which it ends
