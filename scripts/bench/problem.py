"""What is timed: one meta-gradient of one case, as numbers that are the same for every system.

Legend: T tasks, B examples, S time steps, F features, H hidden, D directions, O outputs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Labels = NDArray[np.int64]
Order = Literal["second", "recomputed", "first", "none"]

INNER_LR = 0.1


class BenchmarkError(Exception):
    """Something that makes the benchmark's numbers worthless, or impossible; its text is a single line."""


@dataclass(frozen=True)
class Case:
    """Everything that decides a meta-gradient's cost.

    Raises:
        ValueError: several layers that are read in several directions, which not every system has.
    """

    setting: str
    ways: int  # O
    shots: int
    queries: int
    tasks: int  # T
    hidden: int = 64  # H
    directions: int = 1  # D; 4: rows down, rows up, columns left to right, columns right to left
    layers: int = 1
    length: int = 28  # S
    features: int = 28  # F
    inner_steps: int = 5
    # `recomputed`: second order, inner steps computed twice; `none`: adapt and predict, without a meta-gradient
    order: Order = "second"
    task_chunk_size: int | None = None  # None: the default; metalstm alone can choose

    def __post_init__(self) -> None:
        if self.directions not in (1, 4) or (self.directions > 1 and self.layers > 1):
            raise ValueError(f"directions={self.directions} with layers={self.layers}; use 1 or 4, and 1 with layers")

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Case:
        return cls(**json.loads(text))

    def tiny(self) -> Case:
        """The smallest problem that goes the same way through a system."""
        sizes: dict[str, Any] = {
            "ways": 2,
            "shots": 1,
            "queries": 1,
            "tasks": 1,
            "hidden": 2,
            "length": 2,
            "features": 2,
        }
        return replace(self, inner_steps=min(self.inner_steps, 2), **sizes)


def lstm_in_words(hidden: int, directions: int, layers: int) -> str:
    more = {"directions": directions, "layers": layers}
    return ", ".join([f"hidden {hidden}", *(f"{number} {name}" for name, number in more.items() if number > 1)])


SETTINGS = {
    "20w5s_t4": Case("20w5s_t4", ways=20, shots=5, queries=15, tasks=4),
    "5w1s_t32": Case("5w1s_t32", ways=5, shots=1, queries=15, tasks=32),
}
QUICK = Case("quick", ways=3, shots=2, queries=2, tasks=2, hidden=5, length=6, features=6, inner_steps=2)


def variants(setting: Case, hidden: list[int]) -> list[Case]:
    """The cases of a setting: each hidden size, and with the setting's own also 4 directions, and 2 layers."""
    cases = [replace(setting, hidden=size) for size in hidden]
    if setting.hidden in hidden:
        cases += [replace(setting, directions=4), replace(setting, layers=2)]
    return cases


class Problem(NamedTuple):
    """The numbers of a case."""

    case: Case
    weights: dict[str, Array]  # the start, under the names and in the shapes of `metalstm.nn.lstm.LSTMModel`
    support_inputs: Array  # [T, ways * shots, S, F]
    support_targets: Labels  # [T, ways * shots]
    query_inputs: Array  # [T, ways * queries, S, F]
    query_targets: Labels  # [T, ways * queries]


def make_problem(case: Case) -> Problem:
    """Noisy copies of a random pattern for each class, and a start at which no weight's gradient vanishes."""
    random = np.random.default_rng(0)
    patterns = random.normal(size=(case.tasks, case.ways, 1, case.length, case.features))

    def examples(copies: int) -> tuple[Array, Labels]:
        noise = random.normal(size=(case.tasks, case.ways, copies, case.length, case.features))
        inputs = (0.5 * (patterns + noise)).astype(np.float32)
        targets = np.repeat(np.arange(case.ways), copies)
        return (
            inputs.reshape(case.tasks, case.ways * copies, case.length, case.features),
            np.tile(targets, (case.tasks, 1)),
        )

    return Problem(case, make_weights(case, random), *examples(case.shots), *examples(case.queries))


def make_weights(case: Case, random: np.random.Generator) -> dict[str, Array]:
    """Uniform weights as `torch.nn.LSTM` draws them, with the forget bias raised by 1 and a head that is not zero."""
    hidden, directions = case.hidden, case.directions

    def uniform(*shape: int) -> Array:
        return random.uniform(-(hidden**-0.5), hidden**-0.5, shape).astype(np.float32)

    weights = {}
    for layer in range(case.layers):
        weights[f"weight_ih_l{layer}"] = uniform(directions, 4 * hidden, hidden if layer else case.features)
        weights[f"weight_hh_l{layer}"] = uniform(directions, 4 * hidden, hidden)
        weights[f"bias_ih_l{layer}"] = uniform(directions, 4 * hidden)
        weights[f"bias_hh_l{layer}"] = uniform(directions, 4 * hidden)
        weights[f"bias_ih_l{layer}"][:, hidden : 2 * hidden] += 1
    return weights | {"head_weight": uniform(case.ways, directions * hidden), "head_bias": uniform(case.ways)}
