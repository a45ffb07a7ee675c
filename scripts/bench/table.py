"""The benchmark's rows as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.environment import in_words
from bench.problem import SETTINGS, Case, lstm_in_words

Rows = Mapping[str, Mapping[str, Any]]  # of one case, by system

TIMED = {"higher": "higher", "torch_func": "torch.func", "jax": "jax", "matmul": "products alone"}
WEIGHED = ("metalstm", "higher", "torch_func", "jax")
HEAD = ["setting", "LSTM", "metalstm, s", *(f"{title}, s" for title in TIMED.values()), "products at peak, s"]
HEAD += [f"{name}, MiB" for name in WEIGHED]


def markdown(report: Mapping[str, Any]) -> str:
    """A row for each case; the median of all runs, and how many times metalstm's it is."""
    cases: dict[tuple[Any, ...], dict[str, Mapping[str, Any]]] = {}
    for row in report["rows"]:
        key = tuple(row[field] for field in ("setting", "hidden", "directions", "layers"))
        cases.setdefault(key, {})[row["system"]] = row
    lines = [
        f"`{report['command']}` on {in_words(report['environment'])}",
        "",
        "One second-order meta-gradient, 5 inner steps, sequences of 28 steps by 28 features. Seconds: the median of "
        "the runs, and how many times metalstm's it is. Products alone: the matrix products of metalstm's algorithm by "
        "torch.bmm, without anything around them; at peak: their FLOPs at the speed of one 1024 x 1024 x 1024 product. "
        "MiB: the most that a step takes on top of the problem, the model and the libraries.",
        "",
        line(HEAD),
        line(["---"] * 2 + ["---:"] * (len(HEAD) - 2)),
        *(
            line(cells(setting, hidden, directions, layers, rows))
            for (setting, hidden, directions, layers), rows in cases.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def cells(setting: str, hidden: int, directions: int, layers: int, rows: Rows) -> list[str]:
    ours = rows["metalstm"]["median_s"]
    times = [with_ratio(rows[name]["median_s"], ours) if name in rows else "-" for name in TIMED]
    at_peak = with_ratio(rows["matmul"]["at_peak_s"], ours) if "matmul" in rows else "-"
    peaks = [f"{rows[name]['peak_mib']:.0f}" if name in rows else "-" for name in WEIGHED]
    return [in_short(setting), lstm_in_words(hidden, directions, layers), f"{ours:.3f}", *times, at_peak, *peaks]


def in_short(setting: str) -> str:
    case: Case | None = SETTINGS.get(setting)
    return setting if case is None else f"{case.ways}-way {case.shots}-shot, {case.tasks} tasks"


def with_ratio(seconds: float, ours: float) -> str:
    return f"{seconds:.3f} ({seconds / ours:.2g}x)"


def line(values: list[str]) -> str:
    return f"| {' | '.join(values)} |"
