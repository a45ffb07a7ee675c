"""How fast and how well several runs learn the same tasks: paired, with 95% intervals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from metalstm.evaluation.statistics import mean_and_ci95
from metalstm.reporting.entries import Entry

LEAST_ERROR = 1e-6  # that `per_task.json` tells from none


def paired(one: Entry, other: Entry) -> tuple[float, float, int]:
    """`one` less `other` over the tasks of both: the mean, half its 95% interval, and the number of tasks."""
    pairs = list(zip(one.final(), other.final(), strict=False))
    units = None if one.units is None else one.units[: len(pairs)]
    return *mean_and_ci95([left - right for left, right in pairs], units), len(pairs)


def steps_to(entry: Entry, target: float, higher_is_better: bool) -> int | None:
    """Return the first step at which the curve's mean reaches the target; None: it never does."""
    for step, value in zip(entry.at, entry.means(), strict=True):
        if value >= target if higher_is_better else value <= target:
            return step
    return None


def area(entry: Entry) -> float:
    """Return the curve's mean over steps 0 to the one that the result is read after, by the trapezoid rule."""
    points = [(step, value) for step, value in zip(entry.at, entry.means(), strict=True) if step <= entry.step]
    if len(points) == 1:
        return points[0][1]
    total = sum((b - a) * (u + v) / 2 for (a, u), (b, v) in itertools.pairwise(points))
    return total / (points[-1][0] - points[0][0])


def default_target(found: Sequence[Entry], higher_is_better: bool) -> float:
    """Nine tenths of the way from the worst start to the best result; of errors, on a scale of logarithms.

    Runs that diverged are left out.
    """
    starts = [value for value in (entry.means()[0] for entry in found) if not math.isnan(value)]
    ends = [value for value in (fmean(entry.final()) for entry in found) if not math.isnan(value)]
    if not starts or not ends:
        return math.nan
    if higher_is_better:
        return min(starts) + 0.9 * (max(ends) - min(starts))
    start, end = max(max(starts), LEAST_ERROR), max(min(ends), LEAST_ERROR)
    return math.exp(math.log(start) + 0.9 * (math.log(end) - math.log(start)))


def ranked(found: Sequence[Entry], higher_is_better: bool) -> list[Entry]:
    """Best first; what diverged comes last."""

    def key(entry: Entry) -> tuple[bool, float]:
        value = fmean(entry.final())
        return math.isnan(value), -value if higher_is_better else value

    return sorted(found, key=key)


def rows(common: Mapping[str, Any], found: Sequence[Entry], target: float | None = None) -> list[dict[str, Any]]:
    """Return the comparison in numbers, best first.

    Differences are paired, over the tasks that both were tested on: `difference` is from the best, `over_scratch` from
    the best of those that were not meta-trained, null where there is none.
    """
    higher = common["metric"] == "accuracy"
    target = default_target(found, higher) if target is None else target
    order = ranked(found, higher)
    scratch = next((entry for entry in order if entry.from_scratch), None)
    made = []
    for entry in order:
        value, half = mean_and_ci95(entry.final(), entry.units)
        difference, width, pairs = paired(entry, order[0])
        over, over_width, _ = (None, None, 0) if scratch is None else paired(entry, scratch)
        made.append(
            {
                **{"name": entry.name, "value": value, "ci95": half, "tasks": len(entry.final())},
                **{"over": entry.over, "over_classes": entry.over_classes},
                **{"steps": entry.step, "unit": entry.unit, "seconds_per_step": entry.seconds_per_step},
                **{"difference": difference, "difference_ci95": width, "pairs": pairs},
                **{"over_scratch": over, "over_scratch_ci95": over_width},
                **{"target": target, "steps_to_target": steps_to(entry, target, higher)},
                **{"area": area(entry), "before": entry.means()[0], "training_s": entry.training_s},
            }
        )
    return made


def title(common: Mapping[str, Any], compared: Sequence[Mapping[str, Any]]) -> str:
    """Return what is compared, in a sentence."""
    return (
        f"{common['dataset']}, {task_in_words(common)}: {common['metric']} on {common['split']} tasks, the same for "
        f"all rows, with 95% intervals over {plural(compared[0]['over'])}."
    )


def cells(common: Mapping[str, Any], compared: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return the comparison's heading and rows in words."""
    higher = common["metric"] == "accuracy"
    best = compared[0]
    heading = [
        *("learner", common["metric"], "tasks", f"paired difference from {best['name']}"),
        *("paired difference from scratch", f"to reach {number(best['target'], higher)}", "mean of the curve"),
        *("before adapting", "meta-training"),
    ]
    lines = []
    for row in compared:
        reached = row["steps_to_target"]
        difference = f"{signed(row['difference'], higher)} ± {number(row['difference_ci95'], higher)}"
        over = row["over_scratch"]
        itself = over is None or (over == 0 and row["over_scratch_ci95"] == 0)
        lines.append(
            [
                row["name"],
                f"{number(row['value'], higher)} ± {number(row['ci95'], higher)} after {in_units(row['steps'], row)}",
                str(row["tasks"]),
                "-" if row is best else difference,
                "-" if itself else f"{signed(over, higher)} ± {number(row['over_scratch_ci95'], higher)}",
                "not reached" if reached is None else in_units(reached, row),
                number(row["area"], higher),
                number(row["before"], higher),
                "none" if row["training_s"] is None else f"{row['training_s'] / 60:.1f} min",
            ]
        )
    return heading, lines


def markdown(common: Mapping[str, Any], compared: Sequence[Mapping[str, Any]]) -> str:
    """Return the comparison's rows as a Markdown table."""
    heading, lines = cells(common, compared)
    rows = [" | ".join(cell.replace("|", r"\|") for cell in row) for row in [heading, *lines]]
    head, *table = [f"| {row} |" for row in rows]
    return "\n".join([title(common, compared), "", head, "|---" * len(heading) + "|", *table]) + "\n"


def task_in_words(common: Mapping[str, Any]) -> str:
    if common["metric"] == "mse":
        return f"{common['shots']}-shot"
    return f"{common['ways']}-way {common['shots']}-shot"


def counted(number: int, unit: str) -> str:
    return f"{number} {unit if number == 1 else plural(unit)}"


def plural(unit: str) -> str:
    if unit.endswith("y"):
        return f"{unit[:-1]}ies"
    return f"{unit}es" if unit.endswith("s") else f"{unit}s"


def in_units(steps: int, row: Mapping[str, Any]) -> str:
    """Return a number of steps in words, with the time that they take where it was measured."""
    words = counted(steps, row["unit"])
    if row["seconds_per_step"] is None or steps == 0:
        return words
    return f"{words}, {1000 * steps * row['seconds_per_step']:.0f} ms"


def number(value: float, accuracy: bool) -> str:
    return f"{round(100 * value, 2) + 0.0:.2f}%" if accuracy else f"{value:.4g}"  # never -0.00


def signed(value: float, accuracy: bool) -> str:
    return f"{100 * value:+.2f}%" if accuracy else f"{value:+.4g}"
