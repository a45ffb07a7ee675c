"""The summary of a sweep: for each setting the mean over seeds, with its 95% confidence interval, the best marked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from metalstm.evaluation.statistics import mean_and_ci95
from metalstm.files import writing
from metalstm.reporting.comparison import counted, number
from metalstm.reporting.entries import tasks_of

SEED = "seed"


class Outcome(NamedTuple):
    """How a job ended."""

    name: str
    swept: Mapping[str, str]
    result: Mapping[str, Any] | None  # its `result.json`
    failure: str | None


class Row(NamedTuple):
    """One setting, whatever its seeds."""

    swept: dict[str, str]  # without the seed
    metric: str
    value: float  # nan: no job of it has a result
    ci95: float  # nan: of one value there is none
    over: str  # what the interval is over, e.g. `3 seeds`; of a single run its tasks
    seeds: int
    failed: list[str]
    tasks: tuple[Any, ...]
    best: bool = False


def rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """Return a row for each setting, in the sweep's order; the best of those on the same tasks is marked."""
    settings: dict[tuple[tuple[str, str], ...], list[Outcome]] = {}
    for outcome in outcomes:
        key = tuple((name, value) for name, value in outcome.swept.items() if name != SEED)
        settings.setdefault(key, []).append(outcome)
    made = [row(dict(key), of_it) for key, of_it in settings.items()]
    return [one._replace(best=is_best(one, made)) for one in made]


def row(swept: dict[str, str], outcomes: Sequence[Outcome]) -> Row:
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    failed = [f"{outcome.name}: {outcome.failure}" for outcome in outcomes if outcome.result is None]
    if not results:
        return Row(swept, "", math.nan, math.nan, "", 0, failed, ())
    first = results[0]
    tasks = (first["tasks"], *sorted(tuple(tasks_of(result).values()) for result in results))
    if len(results) == 1:
        interval, *_ = first.get("intervals") or [{"over": "task", "units": first["tasks"]}]
        over = counted(interval["units"], interval["over"])
        return Row(swept, first["metric"], first["value"], first["ci95"], over, 1, failed, tasks)
    values = [result["value"] for result in results]
    diverged = not all(math.isfinite(value) for value in values)  # in its meta-test
    mean, half = (math.nan, math.nan) if diverged else mean_and_ci95(values)
    return Row(swept, first["metric"], mean, half, f"{len(values)} seeds", len(values), failed, tasks)


def is_best(one: Row, among: Sequence[Row]) -> bool:
    """Whether no row on the same tasks has a better mean; where there is no other, nothing is best."""
    others = [other for other in among if other.tasks == one.tasks and math.isfinite(other.value)]
    if len(others) < 2 or not math.isfinite(one.value):
        return False
    best = max if one.metric == "accuracy" else min
    return one.value == best(other.value for other in others)


def table(made: Sequence[Row]) -> str:
    """Return the rows as a person reads them, and why jobs failed."""
    names = list(made[0].swept)
    metrics = sorted({one.metric for one in made if one.metric})
    lines = [["", *names, " or ".join(metrics), "95% CI", "over"]]
    for one in made:
        accuracy = one.metric == "accuracy"
        value = "-" if math.isnan(one.value) else number(one.value, accuracy)
        half = "-" if math.isnan(one.ci95) else f"± {number(one.ci95, accuracy)}"
        lines.append(["*" if one.best else "", *one.swept.values(), value, half, one.over or "-"])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    if any(one.best for one in made):
        text.append("* the best on its tasks")
    failed = [reason for one in made for reason in one.failed]
    return "\n".join([*text, *(f"failed    {reason}" for reason in failed)])


def as_csv(made: Sequence[Row]) -> str:
    """Return the rows as a table of values; accuracies are fractions."""
    lines: list[list[object]] = [[*made[0].swept, "metric", "value", "ci95", "ci95_over", "seeds", "best", "failed"]]
    for one in made:
        figures = ["" if math.isnan(value) else value for value in (one.value, one.ci95)]
        failed = "; ".join(one.failed)
        lines.append([*one.swept.values(), one.metric, *figures, one.over, one.seeds, "*" * one.best, failed])
    return writing.as_csv(lines)
