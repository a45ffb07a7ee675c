"""HTML and SVG by small pieces: whatever comes from a file is escaped, once, where it is put into a tag."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


class Section(NamedTuple):
    """A part of the page."""

    anchor: str
    heading: str
    body: Markup


def escaped(content: object) -> str:
    """Content as it stands between tags or in a quoted attribute."""
    return content if isinstance(content, Markup) else html.escape(str(content), quote=True)


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """Return an element; `class_` is `class`, `stroke_width` is `stroke-width`, and None is left out."""
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{named}>{''.join(map(escaped, content))}</{name}>")


def joined(parts: Sequence[object]) -> Markup:
    return Markup("".join(map(escaped, parts)))


def table(header: Sequence[object], rows: Sequence[Sequence[object]], class_: str | None = None) -> Markup:
    """Return a table that scrolls by itself where the screen is narrower; its first column names the rows."""
    head = tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in header)))
    body = tag(
        "tbody",
        *(tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest)) for first, *rest in rows),
    )
    return tag("div", tag("table", head, body, class_=class_), class_="scroll", tabindex=0)


def figure(name: str, drawing: Markup, caption: object, *below: object) -> Markup:
    """Return a drawing that scrolls where the screen is too narrow, what explains it, and its caption."""
    return tag("figure", tag("div", drawing, class_="scroll", tabindex=0), *below, tag("figcaption", caption), id=name)


def definitions(pairs: Sequence[tuple[object, object]]) -> Markup:
    """Return a card of names and what they stand for."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs), class_="card")


def folded(summary: object, *content: object) -> Markup:
    """Return what is shown when it is asked for."""
    return tag("details", tag("summary", summary), *content)
