"""One task to look at, from `gallery.json`: what was learned from, what was asked, what was said before and after."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metalstm.reporting.axes import linear
from metalstm.reporting.charts import Line, Point, legend, lines
from metalstm.reporting.comparison import counted
from metalstm.reporting.entries import Run
from metalstm.reporting.markup import Markup, Section, escaped, figure, joined, tag
from metalstm.reporting.optional import read_optional
from metalstm.runs.layout import GALLERY

BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
MOST_WORDS = 24  # of a text


def section(runs: Sequence[Run]) -> Section | None:
    """Return the task of the first run that has one; None: no run has."""
    for run in runs:
        content = read_optional(run.folder / GALLERY)
        if content is None:
            continue
        try:
            body = regression(content) if content["kind"] == "regression" else classification(content)
            after = counted(int(content["steps"]), str(content["step_unit"]))
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError):
            continue  # as if it were not there
        said = f"The first test task, which is the same for all, as {run.learner.name} learns it in {after}."
        return Section("gallery", "One task", joined([tag("p", said), body]))
    return None


def classification(content: Mapping[str, Any]) -> Markup:
    """For each class what was learned from, and the queries with what was said of them."""
    support, query = content["support"], content["query"]
    labels = sorted({int(example["target"]) for example in support})
    names = content["classes"] or [f"class {label + 1}" for label in labels]
    whole = span(support + query) if content["form"] == "series" else (0.0, 1.0)
    rows = []
    for label in labels:
        shown = [
            tag("div", picture(one["input"], content["form"], whole, names[label]), class_="example")
            for one in support
            if one["target"] == label
        ]
        asked = [answered(one, content["form"], whole, names) for one in query if one["target"] == label]
        heading = tag("h3", tag("span", label + 1, class_="number"), " ", names[label])
        rows.append(
            tag(
                "div",
                heading,
                tag("div", tag("h4", "learned from"), tag("div", *shown, class_="examples"), class_="support"),
                tag("div", tag("h4", "asked"), tag("div", *asked, class_="examples"), class_="query"),
                class_="class",
            )
        )
    before, after = (int(count) for count in content["correct"])
    total = int(content["queries"])
    caption = (
        f"Under each query: the class that was said, by its number, before and after adapting, and its probability. "
        f"Right are {before} of all {total} queries before adapting, {after} after it"
        + (f"; {len(query)} of them are shown." if len(query) < total else ".")
    )
    return tag("figure", *rows, tag("figcaption", caption), id="gallery-figure", class_="gallery")


def answered(example: Mapping[str, Any], form: str, whole: tuple[float, float], names: Sequence[str]) -> Markup:
    """Return a query, and what was said of it."""
    said = []
    for when in ("before", "after"):
        label, probability = int(example[when]["label"]), float(example[when]["probability"])
        right = label == example["target"]
        words = f"{when} adapting: {names[label]}, {'right' if right else 'wrong'}, probability {probability:.2f}"
        mark = f"{'✓' if right else '✗'} {label + 1}"
        share = tag("small", f" {100 * probability:.0f}%")
        said.append(
            tag(
                "span",
                tag("small", f"{when} "),
                mark,
                share,
                title=words,
                class_=when + (" right" if right else " wrong"),
            )
        )
    shown = picture(example["input"], form, whole, names[example["target"]])
    return tag("div", shown, tag("div", *said, class_="said"), class_=f"example {said_class(example)}")


def said_class(example: Mapping[str, Any]) -> str:
    return "is-right" if example["after"]["label"] == example["target"] else "is-wrong"


def picture(content: Any, form: str, whole: tuple[float, float], name: str) -> Markup:
    """Return an input as its form has it."""
    if form in ("image", "heat_map"):
        return image(content, name, form.replace("_", "-"))
    if form == "text":
        every = str(content).split(" ")
        return tag("span", " ".join(every[:MOST_WORDS]) + (" …" if len(every) > MOST_WORDS else ""), class_="text")
    if form == "tokens":
        return tag("span", counted(len(content), "word"), class_="text")
    return series(content, whole, name)


def image(content: Any, name: str, class_: str) -> Markup:
    """Return a PNG from its base64.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(content, str) or not BASE64.fullmatch(content):
        raise ValueError("no image")
    return tag_void("img", src=f"data:image/png;base64,{content}", alt=name, class_=class_)


def tag_void(name: str, **attributes: object) -> Markup:
    """Return an element without an end."""
    named = "".join(f' {key.rstrip("_")}="{escaped(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{named}>")


def series(rows: Sequence[Sequence[float]], whole: tuple[float, float], name: str) -> Markup:
    """Return a small picture of numbers over time, a line for each feature."""
    low, high = whole
    drawn = []
    for feature in range(len(rows[0])):
        places = [
            f"{90 * step / max(1, len(rows) - 1):.1f},{44 - 40 * (float(row[feature]) - low) / ((high - low) or 1):.1f}"
            for step, row in enumerate(rows)
        ]
        drawn.append(tag("path", d=f"M{' '.join(places)}", class_=f"line c{feature % 7}"))
    return tag("svg", tag("title", name), *drawn, viewBox="-2 0 94 48", role="img", class_="series")


def span(examples: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    values = [float(value) for one in examples for row in one["input"] for value in row]
    return min(values), max(values)


def regression(content: Mapping[str, Any]) -> Markup:
    """Return a function of one position as it is and as it was predicted; of other inputs, predictions over targets."""
    support, query = content["support"], content["query"]
    function = all(
        len(row) == 1 and len(one["input"]) == len(one["target"]) for one in support + query for row in one["input"]
    )
    drawn = curves(support, query) if function else scatter(query)
    xs = [point.x for line in drawn for point in line.points]
    ys = [point.y for line in drawn for point in line.points]
    x_label, y_label = ("input", "output") if function else ("target", "prediction")
    x, y = (
        linear(min(values), max(values), label, lambda value: f"{value:.4g}")
        for values, label in ((xs, x_label), (ys, y_label))
    )
    caption = (
        "The function at the queries, what was predicted of it before and after adapting, and the support set."
        if function
        else "Each number to be predicted for the queries, and what was predicted; the line is where both are the same."
    )
    return figure("gallery-figure", lines("Predictions for one task", drawn, x, y), caption, legend(drawn))


def curves(support: Sequence[Mapping[str, Any]], query: Sequence[Mapping[str, Any]]) -> list[Line]:
    def points(examples: Sequence[Mapping[str, Any]], key: str) -> list[Point]:
        pairs = sorted(
            (float(row[0]), float(value)) for one in examples for row, value in zip(one["input"], one[key], strict=True)
        )
        return [Point(x, y, 0.0, f"{y:.4g} at {x:.4g}") for x, y in pairs]

    return [
        Line("support", 1, points(support, "target"), joined=False),
        Line("after adapting", 0, points(query, "after"), dots=False),
        Line("before adapting", 13, points(query, "before"), dots=False),
        Line("the function", 2, points(query, "target"), dots=False),
    ]


def scatter(query: Sequence[Mapping[str, Any]]) -> list[Line]:
    def points(key: str) -> list[Point]:
        pairs = [(float(t), float(p)) for one in query for t, p in zip(one["target"], one[key], strict=True)]
        return [Point(x, y, 0.0, f"{y:.4g} for {x:.4g}") for x, y in sorted(pairs)]

    after, before = points("after"), points("before")
    ends = [min(point.x for point in after), max(point.x for point in after)]
    return [
        Line("after adapting", 0, after, joined=False),
        Line("before adapting", 1, before, joined=False),
        Line("as it should be", 9, [Point(end, end, 0.0, "") for end in ends], dots=False),
    ]
