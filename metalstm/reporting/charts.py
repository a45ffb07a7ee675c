"""Lines and intervals as SVG that stands in a page: colours are the page's, so that they suit light and dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from metalstm.reporting.axes import Axis
from metalstm.reporting.markup import Markup, joined, tag

COLOURS, DASHES = 7, 3  # told apart by these; `report.css` has them
STYLES = COLOURS * DASHES
WIDTH, HEIGHT = 720, 400  # of lines
LEFT, RIGHT, TOP, BOTTOM = 58, 26, 12, 46
ROW, ROW_ACROSS = 24, 286  # of intervals, without names and numbers
APART, DOTS_APART = 4, 14  # between points of a line, and between those that are marked; others are left out
NAME, LETTER = 36, 7.6  # characters of a name that are drawn, and how wide one is


class Point(NamedTuple):
    """A point of a line, and half the width of its 95% interval; 0: it has none."""

    x: float
    y: float
    half: float
    told: str  # when it is pointed at


class Line(NamedTuple):
    """A curve as it is drawn."""

    name: str
    style: int | None  # see `style_of`; None: grey, behind the others
    points: Sequence[Point]
    dots: bool = True  # whether points are marked
    joined: bool = True  # whether a line goes through them
    result: float | None = None  # the x of the point that counts


class Row(NamedTuple):
    """An interval, its name to the left of it and the numbers to the right."""

    name: str
    style: int | None
    value: float
    half: float
    told: str


def style_of(style: int | None) -> str:
    """Return the classes of a curve's colour and dash."""
    return "grey" if style is None else f"c{style % COLOURS} d{style // COLOURS % DASHES}"


def lines(title: str, drawn: Sequence[Line], x: Axis, y: Axis, level: tuple[float, str] | None = None) -> Markup:
    """Curves with their intervals; the first ones lie on top.

    Args:
        title: for who cannot see it.
        drawn: the curves.
        x, y: the axes.
        level: a value of y, and what is there, such as chance.
    """
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at(point_x: float, point_y: float) -> str:
        return f"{LEFT + across * x.place(point_x):.1f},{TOP + down * (1 - y.place(point_y)):.1f}"

    parts: list[Markup] = []
    for value, text in y.ticks:
        height = TOP + down * (1 - y.place(value))
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{height:.1f}", y2=f"{height:.1f}", class_="grid"))
        parts.append(tag("text", text, x=LEFT - 7, y=f"{height + 4:.1f}", text_anchor="end"))
    for value, text in x.ticks:
        place = f"{LEFT + across * x.place(value):.1f}"
        parts.append(tag("line", x1=place, x2=place, y1=TOP + down, y2=TOP + down + 4, class_="axis"))
        parts.append(tag("text", text, x=place, y=TOP + down + 18, text_anchor="middle"))
    parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=TOP + down, y2=TOP + down, class_="axis"))
    parts.append(tag("text", x.label, x=LEFT + across / 2, y=HEIGHT - 8, text_anchor="middle", class_="label"))
    turned = f"translate(14,{TOP + down / 2:g}) rotate(-90)"
    parts.append(tag("text", y.label, transform=turned, text_anchor="middle", class_="label"))
    if level is not None:
        height = TOP + down * (1 - y.place(level[0]))
        parts.append(tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{height:.1f}", y2=f"{height:.1f}", class_="level"))
        parts.append(tag("text", level[1], x=WIDTH - RIGHT - 4, y=f"{height - 5:.1f}", text_anchor="end"))
    inner: list[Markup] = []
    for line in reversed(drawn):
        points = thinned(
            [point for point in line.points if math.isfinite(point.x) and math.isfinite(point.y)],
            x,
            APART if line.joined else 0,
        )
        style = style_of(line.style)
        inside: list[Markup] = [tag("title", line.name)]
        banded = [point for point in points if point.half > 0 and math.isfinite(point.half)]
        if line.joined and line.style is not None and len(banded) > 1:
            upper = [at(point.x, point.y + point.half) for point in points]
            lower = [at(point.x, point.y - point.half) for point in reversed(points)]
            inside.append(tag("path", d=f"M{' '.join([*upper, *lower])}Z", class_="band"))
        if line.joined and len(points) > 1:
            inside.append(tag("path", d=f"M{' '.join(at(point.x, point.y) for point in points)}", class_="line"))
        if line.dots and line.style is not None:
            marked = thinned(points, x, DOTS_APART) if line.joined else points
            marked = [
                *(point for point in marked if point.x != line.result),
                *(p for p in points if p.x == line.result),
            ]
            for point in marked:
                place_x, place_y = at(point.x, point.y).split(",")
                told = tag("title", f"{line.name}, {point.told}")
                inside.append(tag("circle", told, cx=place_x, cy=place_y, r=5 if point.x == line.result else 3))
        inner.append(tag("g", *inside, class_=f"curve {style}"))
    parts.append(window(LEFT - 4, TOP - 4, across + 8, down + 8, inner))
    return drawing(title, WIDTH, HEIGHT, parts)


def intervals(title: str, rows: Sequence[Row], x: Axis, zero: bool) -> Markup:
    """Return a value with its 95% interval in each row, over one axis; `zero`: whether 0 has a line of its own."""
    names = [shortened(row.name) for row in rows]
    left, right, top = round(20 + LETTER * max(map(len, names))), 142, 8
    across, down = ROW_ACROSS, ROW * len(rows)
    width, height = left + across + right, top + down + BOTTOM

    def at(value: float) -> float:
        return left + across * x.place(value)

    parts: list[Markup] = []
    for value, text in x.ticks:
        place = f"{at(value):.1f}"
        parts.append(tag("line", x1=place, x2=place, y1=top, y2=top + down, class_="grid"))
        parts.append(tag("text", text, x=place, y=top + down + 18, text_anchor="middle"))
    if zero:
        parts.append(tag("line", x1=f"{at(0):.1f}", x2=f"{at(0):.1f}", y1=top, y2=top + down, class_="level"))
    parts.append(tag("line", x1=left, x2=width - right, y1=top + down, y2=top + down, class_="axis"))
    parts.append(tag("text", x.label, x=left + across / 2, y=height - 8, text_anchor="middle", class_="label"))
    for number, row in enumerate(rows):
        middle = top + ROW * (number + 0.5)
        inside = [
            tag("title", f"{row.name}: {row.told}"),
            tag("text", names[number], x=left - 10, y=middle + 4, text_anchor="end", class_="name"),
            tag("text", row.told, x=width - right + 10, y=middle + 4),
        ]
        if math.isfinite(row.value):
            ends = [f"{at(row.value + sign * row.half):.1f}" for sign in (-1, 1)] if math.isfinite(row.half) else []
            if ends:
                inside.append(tag("line", x1=ends[0], x2=ends[1], y1=middle, y2=middle, class_="interval"))
            inside.append(tag("circle", cx=f"{at(row.value):.1f}", cy=middle, r=4))
        parts.append(tag("g", *inside, class_=f"row {style_of(row.style)}"))
    return drawing(title, width, height, parts, "chart intervals")


def window(x: float, y: float, width: float, height: float, parts: Sequence[Markup]) -> Markup:
    """Return a part of a drawing that cuts off what lies outside of it."""
    place = {"x": x, "y": y, "width": width, "height": height, "viewBox": f"{x} {y} {width} {height}"}
    return tag("svg", joined(parts), **place)


def drawing(title: str, width: int, height: float, parts: Sequence[Markup], class_: str = "chart") -> Markup:
    return tag("svg", tag("title", title), joined(parts), viewBox=f"0 0 {width} {height:g}", role="img", class_=class_)


def legend(drawn: Sequence[Line], results: Mapping[str, str] | None = None) -> Markup:
    """Return what the curves that are not grey are, with a number of each by its name."""
    items = [
        tag("li", swatch(line.style, line.joined), " ", line.name, " ", tag("b", (results or {}).get(line.name, "")))
        for line in drawn
        if line.style is not None
    ]
    return tag("ul", *items, class_="legend")


def swatch(style: int | None, joined: bool = True) -> Markup:
    """Return a stretch of a curve's line; of points that no line goes through, one of them."""
    drawn = tag("line", x1=1, x2=25, y1=6, y2=6, class_="line") if joined else tag("circle", cx=13, cy=6, r=4)
    class_ = f"swatch {style_of(style)}"
    return tag("svg", drawn, viewBox="0 0 26 12", width=26, height=12, class_=class_, aria_hidden="true")


def thinned(points: Sequence[Point], x: Axis, apart: float) -> list[Point]:
    """Those that lie so far apart, and the last one."""
    kept: list[Point] = []
    for point in points:
        if not kept or (WIDTH - LEFT - RIGHT) * (x.place(point.x) - x.place(kept[-1].x)) >= apart:
            kept.append(point)
    return [*kept, *(point for point in points[-1:] if point is not kept[-1])]


def shortened(name: str) -> str:
    """Return a name that fits beside a row; its ends say most."""
    return name if len(name) <= NAME else f"{name[: NAME // 2]}…{name[-(NAME // 2) :]}"
