"""The meta-test in the report: results, curves, differences in pairs, and how soon a target is reached."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from metalstm.evaluation.statistics import mean_and_ci95
from metalstm.reporting.axes import linear, of_steps
from metalstm.reporting.charts import Line, Point, Row, intervals, legend, lines, swatch
from metalstm.reporting.comparison import counted, in_units, number, plural, ranked, signed
from metalstm.reporting.entries import Entry
from metalstm.reporting.figures import UNITS
from metalstm.reporting.markup import Markup, Section, figure, folded, joined, table, tag
from metalstm.reporting.training_curves import in_words, y_axis

Rows = Sequence[Mapping[str, Any]]
MOST_ROWS = 40  # that are drawn; tables have all
IN_WORDS = {"scratch": "scratch, as many steps", "scratch_many_steps": "scratch, tuned Adam"}


def called(name: str) -> str:
    """Return a row's name as a stranger reads it."""
    return IN_WORDS.get(name, name)


def intervals_of(rows: Rows) -> str:
    return f"Lines are 95% intervals over {plural(rows[0]['over'])}; one that is not seen is narrower than its point."


def with_interval(value: float, half: float, accuracy: bool) -> str:
    return f"{number(value, accuracy)} ± {number(half, accuracy)}"


def signed_interval(value: float, half: float, accuracy: bool) -> str:
    return f"{signed(value, accuracy)} ± {number(half, accuracy)}"


def named(row: Mapping[str, Any], styles: Mapping[str, int | None]) -> Markup:
    return joined([swatch(styles[row["name"]]), " ", called(row["name"])])


def results(common: Mapping[str, Any], rows: Rows, styles: Mapping[str, int | None]) -> Section:
    """Return the ranking."""
    accuracy = common["metric"] == "accuracy"
    drawn = [
        Row(
            called(row["name"]),
            styles[row["name"]],
            row["value"],
            row["ci95"],
            with_interval(row["value"], row["ci95"], accuracy),
        )
        for row in shown(rows)
    ]
    chart = intervals(
        f"{common['metric']} of each", drawn, interval_axis(drawn, common["metric"], accuracy, signed=False), False
    )
    better = "further right is better" if accuracy else "further left is better"
    caption = f"Mean {in_words(common)} over test tasks; {better}. {intervals_of(rows)}{drawn_of(rows)}"
    over_classes = any(row["over_classes"] is not None for row in rows)
    header = ["", in_words(common), "after", "before adapting", "tasks", *["95% CI over classes"] * over_classes]
    body = [
        [
            named(row, styles),
            with_interval(row["value"], row["ci95"], accuracy),
            counted(row["steps"], row["unit"]),
            number(row["before"], accuracy),
            f"{row['tasks']:,}",
            *(["-" if row["over_classes"] is None else f"± {number(row['over_classes'], accuracy)}"] * over_classes),
        ]
        for row in rows
    ]
    drawing = [figure("results-figure", chart, caption)] if len(rows) > 1 else []
    return Section("results", "Results", joined([*drawing, table(header, body)]))


def adaptation(common: Mapping[str, Any], found: Sequence[Entry], styles: Mapping[str, int | None]) -> Section:
    """How each gets better, step by step."""
    accuracy = common["metric"] == "accuracy"
    drawn = []
    for entry in sorted(ranked(found, accuracy), key=lambda one: styles[one.name] is None):
        measured = [(step, *mean_and_ci95(row, entry.units)) for step, row in zip(entry.at, entry.values, strict=True)]
        points = [
            Point(step, value, half, f"{counted(step, entry.unit)}: {with_interval(value, half, accuracy)}")
            for step, value, half in measured
        ]
        drawn.append(Line(called(entry.name), styles[entry.name], points, result=entry.step))
    units = {entry.unit for entry in found}
    x = of_steps(max(entry.at[-1] for entry in found), UNITS[units.pop() if len(units) == 1 else "both"])
    level = (1 / common["ways"], "chance") if accuracy else None
    y = y_axis(common, [point.y for one in drawn for point in one.points])
    chart = lines("Adaptation curves", drawn, x, y, level)
    told = {called(entry.name): number(fmean(entry.final()), accuracy) for entry in found}
    grey = sum(line.style is None for line in drawn)
    caption = (
        f"{in_words(common).capitalize()} on the query set before adapting (0) and after each step, mean over test "
        f"tasks; bands are 95% intervals over {plural(found[0].over)}, the large points and the numbers are the "
        "results." + (f" Grey: the other {grey}." if grey else "")
    )
    parts = [figure("adaptation-figure", chart, caption, legend(drawn, told))]
    low = zoomed_from([fmean(entry.final()) for entry in found]) if accuracy else None
    if low is not None:
        near = lines("Adaptation curves, enlarged", drawn, x, linear(low, 1, "query accuracy", in_percent))
        parts.append(figure("enlarged-figure", near, f"The same from {in_percent(low)} up."))
    return Section("adaptation", "Adaptation curves", joined(parts))


def zoomed_from(results: Sequence[float]) -> float | None:
    """Where accuracies begin of which a closer look is worth it: half of several lie near each other at the top."""
    known = [value for value in results if math.isfinite(value)]
    if len(known) < 4:
        return None
    low = math.floor(20 * (median(known) - 0.1)) / 20
    return low if low >= 0.5 else None


def in_percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def differences(common: Mapping[str, Any], rows: Rows, styles: Mapping[str, int | None]) -> Section | None:
    """From the best and from scratch, on the same tasks."""
    if len(rows) < 2:
        return None
    accuracy, best = common["metric"] == "accuracy", rows[0]
    over = [
        row
        for row in rows
        if row["over_scratch"] is not None and (row["over_scratch"], row["over_scratch_ci95"]) != (0, 0)
    ]
    parts = [
        difference_figure(
            "difference-figure", common, rows[1:], "difference", f"difference from {called(best['name'])}", styles
        )
    ]
    if over:
        scratch = "difference from the best from scratch"
        parts.append(difference_figure("scratch-figure", common, over, "over_scratch", scratch, styles))
    header = ["", f"from {called(best['name'])}", "from the best from scratch", "pairs"]
    body = [
        [
            named(row, styles),
            "-" if row is best else signed_interval(row["difference"], row["difference_ci95"], accuracy),
            signed_interval(row["over_scratch"], row["over_scratch_ci95"], accuracy) if row in over else "-",
            f"{row['pairs']:,}",
        ]
        for row in rows
    ]
    parts.append(folded("The same as a table", table(header, body)))
    said = (
        "Task n is the same one for all, so that differences are taken task by task: intervals are narrower than those "
        "of the results, for tasks differ more than learners do. An interval without 0 is more than the choice of test "
        "tasks explains; another training run may differ by more."
    )
    return Section("differences", "Paired differences", joined([tag("p", said), *parts]))


def difference_figure(
    name: str, common: Mapping[str, Any], rows: Rows, key: str, label: str, styles: Mapping[str, int | None]
) -> Markup:
    accuracy = common["metric"] == "accuracy"
    drawn = [
        Row(
            called(row["name"]),
            styles[row["name"]],
            row[key],
            row[f"{key}_ci95"],
            signed_interval(row[key], row[f"{key}_ci95"], accuracy),
        )
        for row in shown(rows)
    ]
    better = "Right of the line is better" if accuracy else "Left of the line is better"
    caption = f"{label[0].upper()}{label[1:]} on the same tasks. {better}. {intervals_of(rows)}{drawn_of(rows)}"
    axis = interval_axis(drawn, label, accuracy, signed=True)
    return figure(name, intervals(label, drawn, axis, True), caption)


def target(common: Mapping[str, Any], rows: Rows, styles: Mapping[str, int | None]) -> Section:
    """How soon each reaches the target."""
    accuracy = common["metric"] == "accuracy"
    aim = number(rows[0]["target"], accuracy)
    soonest = sorted(rows, key=lambda row: (row["steps_to_target"] is None, row["steps_to_target"] or 0))
    body = [
        [
            named(row, styles),
            "not reached" if row["steps_to_target"] is None else in_units(row["steps_to_target"], row),
            in_units(row["steps"], row),
            number(row["area"], accuracy),
        ]
        for row in soonest
    ]
    header = ["", f"steps to reach {aim}", "steps of the result", "mean of the curve"]
    said = (
        f"The first step after which the mean over test tasks is {'at least' if accuracy else 'at most'} {aim}, "
        "with the time that one task takes where it was measured. The mean of the curve, from before adapting to the "
        "result, says how early it rises."
    )
    return Section("target", "Steps to the target", joined([tag("p", said), table(header, body)]))


def shown(rows: Rows) -> Rows:
    """Return the rows that are drawn: the first ones, and what was not meta-trained."""
    return [row for place, row in enumerate(rows) if place < MOST_ROWS or row["training_s"] is None]


def drawn_of(rows: Rows) -> str:
    drawn = len(shown(rows))
    return f" Drawn are {drawn} of {len(rows)}; the table has all." if drawn < len(rows) else ""


def interval_axis(rows: Sequence[Row], label: str, accuracy: bool, signed: bool) -> Any:
    """Return an axis that holds all intervals; of differences 0 as well."""
    ends = [
        row.value + sign * (row.half if math.isfinite(row.half) else 0.0)
        for row in rows
        if math.isfinite(row.value)
        for sign in (-1, 1)
    ] or [0.0]
    if signed:
        ends.append(0.0)
    low, high = min(ends), max(ends)
    room = 0.04 * (high - low) or abs(high) * 0.1 or 0.1

    def form(value: float) -> str:
        sign = "+" if signed and value else ""
        return f"{100 * value:{sign}.4g}%" if accuracy else f"{value:{sign}.4g}"

    low, high = low - room, high + room
    if accuracy and not signed:
        low, high = max(0.0, low), min(1.0, high)
    return linear(low, high, label, form, most=4)
