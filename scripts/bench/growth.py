"""How metalstm's time and memory grow with each size on its own: `growth.json` and `growth.png`."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import linear_regression, median
from typing import Any, NamedTuple, get_args

from bench.environment import environment
from bench.growth_figure import draw
from bench.measure import peak_mib, take_turns
from bench.problem import QUICK, Case, Order, make_problem
from bench.system import prepare

RUNS = 5
BUDGET_S = 6.0  # of the runs of a point

BASE = Case("growth", ways=5, shots=1, queries=15, tasks=8)
GRID = {
    "tasks": [1, 2, 4, 8, 16, 32, 64],
    "task_chunk_size": [1, 2, 4, 8, 16, 32],
    "inner_steps": [1, 2, 3, 5, 10, 20],
    "length": [28, 56, 112, 224, 500],
    "hidden": [32, 64, 128, 256],
}
MOST_AT_A_TIME = 32  # tasks of the meta-batch that is taken in parts
QUICK_GRID = {"tasks": [1, 4], "task_chunk_size": [1, 32], "inner_steps": [1, 4], "length": [6, 12], "hidden": [4, 8]}


class Cost(NamedTuple):
    """Of one step."""

    median_s: float
    min_s: float
    runs: int
    peak_mib: float


def run(quick: bool, threads: int, command: str, out: Path) -> dict[str, Any]:
    """Measures all points of the grid and fits an exponent to each series."""
    base, grid = (QUICK, QUICK_GRID) if quick else (BASE, GRID)
    measured = functools.cache(functools.partial(measure, threads=threads))  # the base is a point of every series
    report: dict[str, Any] = {
        "environment": environment(threads),
        "command": command,
        "base": json.loads(base.to_json()),
    }
    points, exponents = [], []
    for axis, sizes in grid.items():
        orders: tuple[Order, ...] = get_args(Order) if axis == "inner_steps" else ("second",)
        for order in orders:
            series = []
            for size in sizes:
                changes: dict[str, Any] = {axis: size, "order": order}
                if axis == "task_chunk_size":
                    changes["tasks"] = MOST_AT_A_TIME
                cost = measured(replace(base, **changes))
                series.append({"axis": axis, "order": order, "size": size, **cost._asdict()})
                print(f"{axis}={size}, {order}: {cost.median_s:.4f} s, {cost.peak_mib:.1f} MiB", flush=True)
            points += series
            fits = {
                quantity: exponent(sizes, [point[quantity] for point in series])
                for quantity in ("median_s", "peak_mib")
            }
            exponents.append({"axis": axis, "order": order, **fits})
    report |= {"points": points, "exponents": exponents}
    out.mkdir(parents=True, exist_ok=True)
    (out / "growth.json").write_text(json.dumps(report, indent=1) + "\n")
    draw(report, out / "growth.png")
    return report


def measure(case: Case, threads: int) -> Cost:
    system = prepare("metalstm", make_problem(case), threads)
    system.step()
    seconds = take_turns({"metalstm": system}, RUNS, BUDGET_S)["metalstm"]
    peak = peak_mib("metalstm", case, threads)
    return Cost(round(median(seconds), 6), round(min(seconds), 6), len(seconds), round(peak, 2))


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float | None:
    """The k of cost ~ size^k: the slope of the least-squares line through the logarithms.

    Costs of zero, below what can be measured, are left out; None: fewer than two are left.
    """
    pairs = [(math.log(size), math.log(cost)) for size, cost in zip(sizes, costs, strict=True) if cost > 0]
    if len(pairs) < 2:
        return None
    return round(linear_regression(*zip(*pairs, strict=True)).slope, 4)
