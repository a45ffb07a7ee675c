"""How meta-training went, from `metrics.jsonl`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from metalstm.reporting.axes import Axis, linear, logarithmic
from metalstm.reporting.charts import Line, Point, legend, lines
from metalstm.reporting.comparison import number
from metalstm.reporting.entries import Run, is_number
from metalstm.reporting.markup import Section, figure, joined, tag
from metalstm.runs.layout import METRICS
from metalstm.runs.metrics import Records

BINS = 60  # that the training steps of one run are averaged in


class History(NamedTuple):
    """Points (step, value, half the width of its interval) of a run."""

    train: list[tuple[float, float, float]]
    validation: list[tuple[float, float, float]]


def history(run: Run) -> History:
    """Return what `metrics.jsonl` says of the metric that the run is judged by."""
    metric = run.tasks["metric"]
    train: list[Any] = []
    validation: list[Any] = []
    for record in Records(run.folder):
        for split, into in (("meta_train", train), ("meta_validation", validation)):
            point = record.get("step"), record.get(f"{split}/{metric}"), record.get(f"{split}/{metric}_ci95", 0.0)
            if all(map(is_number, point)):
                into.append(point)
    return History(train, validation)


def section(common: Mapping[str, Any], runs: Sequence[Run], styles: Mapping[str, int | None]) -> Section | None:
    """Meta-validation of all runs over the steps of meta-training; of a single one its training steps as well."""
    told = {run.learner.name: history(run) for run in runs}
    told = {name: one for name, one in told.items() if one.train or one.validation}
    if not told:
        return None
    accuracy = common["metric"] == "accuracy"
    drawn = [line(name, styles[name], one.validation, accuracy) for name, one in told.items() if one.validation]
    drawn.sort(key=lambda one: one.style is None)
    with_steps = [(name, one) for name, one in told.items() if one.train]
    if len(told) == len(with_steps) == 1:
        ((name, one),) = with_steps
        means = line(f"{name}, meta-train", 2, binned(one.train), accuracy)
        drawn = [
            *(validated._replace(name=f"{name}, meta-validation") for validated in drawn),
            means._replace(dots=False),
        ]
    values = [point.y for one in drawn for point in one.points]
    last = max((point.x for one in drawn for point in one.points), default=1)
    x = linear(0, last, "steps of meta-training", lambda step: f"{step:,.0f}")
    chart = lines("The metric over the steps of meta-training", drawn, x, y_axis(common, values))
    ends = {one.name: number(one.points[-1].y, accuracy) for one in drawn if one.points}
    caption = (
        f"Meta-validation {in_words(common)} during meta-training, with 95% intervals over tasks"
        + (f"; of meta-train, means over {BINS} stretches of steps" if len(told) == len(with_steps) == 1 else "")
        + ". The numbers are those at the end; the best point on meta-validation is the one that is meta-tested."
    )
    body = figure("training-figure", chart, caption, legend(drawn, ends))
    left_out = [run.learner.name for run in runs if run.learner.name not in told]
    if left_out:
        body = joined([body, tag("p", f"Without {METRICS}: {', '.join(left_out)}.", class_="note")])
    return Section("training", "Training curves", body)


def line(name: str, style: int | None, points: Sequence[tuple[float, float, float]], accuracy: bool) -> Line:
    drawn = [
        Point(
            step,
            value,
            half,
            f"step {step:g}: {number(value, accuracy)}{f' ± {number(half, accuracy)}' if half else ''}",
        )
        for step, value, half in points
    ]
    return Line(name, style, drawn, dots=len(drawn) <= BINS)


def binned(points: Sequence[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Return the means of as many points, one after the other, as make BINS of them."""
    size = -(-len(points) // BINS) or 1
    parts = [points[first : first + size] for first in range(0, len(points), size)]
    return [(part[-1][0], fmean(value for _, value, _ in part), 0.0) for part in parts]


def in_words(common: Mapping[str, Any]) -> str:
    """Return the metric."""
    return "accuracy" if common["metric"] == "accuracy" else "mean squared error"


def y_axis(common: Mapping[str, Any], values: Sequence[float]) -> Axis:
    """Set the axis of a metric: accuracy from 0 to 1, errors by their logarithms."""
    if common["metric"] == "accuracy":
        return linear(0, 1, "query accuracy", lambda share: f"{100 * share:.0f}%")
    return logarithmic(values, "query mean squared error")
