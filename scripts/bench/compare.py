"""All systems on all cases: `benchmark.json` and `benchmark.md`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.environment import environment
from bench.measure import check_agreement, peak_mib, take_turns
from bench.problem import Case, lstm_in_words, make_problem
from bench.system import System, prepare
from bench.table import markdown

Row = dict[str, Any]

BUDGET_S = 60.0  # of the rounds of a case


def run(
    cases: Sequence[Case], names: Sequence[str], rounds: int, threads: int, command: str, out: Path
) -> dict[str, Any]:
    """Measures case by case, and writes what there is after each."""
    report: dict[str, Any] = {"environment": environment(threads), "command": command, "rows": []}
    out.mkdir(parents=True, exist_ok=True)
    for case in cases:
        print(f"{case.setting}, {lstm_in_words(case.hidden, case.directions, case.layers)}", flush=True)
        for row in measure_case(case, names, rounds, threads):
            memory = "" if row["peak_mib"] is None else f", peak {row['peak_mib']:.0f} MiB"
            print(f"  {row['system']:<10} {row['median_s']:8.3f} s, {row['runs']} runs{memory}", flush=True)
            report["rows"].append(row)
        (out / "benchmark.json").write_text(json.dumps(report, indent=1) + "\n")
        (out / "benchmark.md").write_text(markdown(report))
    return report


def measure_case(case: Case, names: Sequence[str], rounds: int, threads: int) -> list[Row]:
    """A row for each system.

    Raises:
        BenchmarkError: the systems do not agree.
    """
    seconds, facts = time_case(case, names, rounds, threads)
    return [
        {
            "setting": case.setting,
            "system": name,
            "hidden": case.hidden,
            "directions": case.directions,
            "layers": case.layers,
            "order": 2,
            "median_s": round(median(seconds[name]), 6),
            "min_s": round(min(seconds[name]), 6),
            "max_s": round(max(seconds[name]), 6),
            "runs": len(seconds[name]),
            # Products alone keep nothing for a derivative, so their memory says nothing.
            "peak_mib": None if name == "matmul" else round(peak_mib(name, case, threads), 1),
            **{fact: round(value, 6) for fact, value in facts[name].items()},
        }
        for name in names
    ]


def time_case(
    case: Case, names: Sequence[str], rounds: int, threads: int
) -> tuple[dict[str, list[float]], dict[str, dict[str, float]]]:
    """The seconds of every system's steps, and its `facts`; the systems are gone when memory is measured."""
    systems: dict[str, System] = {}
    try:
        for name in names:
            systems[name] = prepare(name, make_problem(case), threads)
        check_agreement(systems)
        seconds = take_turns(systems, rounds, BUDGET_S)
    finally:
        for system in systems.values():
            system.close()
    return seconds, {name: system.facts for name, system in systems.items()}
