"""The cell of a table as a number: plain, with a decimal comma or grouped thousands; a column as times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from metalstm.datasets.files.reader import BrokenFile

Decimal = Literal["point", "comma"]

GROUPS = "['’ \u00a0\u202f]"  # what may part thousands besides the other one of point and comma
GROUPED = {
    decimal: re.compile(rf"[+-]?[1-9]\d{{0,2}}(?:{other}\d{{3}})+(?:{mark}\d*)?")
    for decimal, mark, other in (("point", r"\.", f"(?:,|{GROUPS})"), ("comma", ",", rf"(?:\.|{GROUPS})"))
}
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
DAY = 24 * 60 * 60  # s
TIME = re.compile(r"\d{1,3}:\d\d(?::\d\d(?:[.,]\d+)?)?")
DATE = re.compile(r"\d{4}[-/]\d\d?[-/]\d\d?(?:[T ]\d\d?:\d\d.*)?")


def number(cell: str, decimal: Decimal) -> float | None:
    """Return the number in a cell; None: there is none."""
    try:
        if decimal == "point" or not set(cell) & set(".,"):
            return float(cell)
    except ValueError:
        pass
    if GROUPED[decimal].fullmatch(cell):
        cell = re.sub(rf"{GROUPS}|{',' if decimal == 'point' else '[.]'}", "", cell)
        return float(cell.replace(",", "."))
    if decimal == "comma" and DECIMAL_COMMA.fullmatch(cell):
        return float(cell.replace(",", "."))
    return None


def is_value(cell: str) -> bool:
    """Whether a cell holds a number or a time, rather than a name."""
    cell = cell.strip()
    if number(cell, "point") is not None or number(cell, "comma") is not None:
        return True
    return TIME.fullmatch(cell) is not None or DATE.fullmatch(cell) is not None


def decimal_of(cells: Sequence[str]) -> Decimal:
    """Whether numbers have a decimal point or a comma.

    Raises:
        BrokenFile: every number with a comma could be either, such as 1,234.
    """
    odd = [cell for cell in cells if "," in cell and is_value(cell)]
    commas = [cell for cell in odd if number(cell, "point") is None]
    if commas:
        return "comma"
    if odd and all(number(cell, "comma") is not None for cell in odd):
        what = f"{odd[0]} may be a thousand and more, or one and a part"
        raise BrokenFile(what, "give dataset.decimal=comma or dataset.decimal=point")
    return "point"


def seconds(column: Sequence[str]) -> list[float] | None:
    """Return times as seconds from the first; None: they are none, or not in a form that can be told."""
    if all(map(TIME.fullmatch, column)):
        return over_midnight([clock(cell) for cell in column])
    if not all(map(DATE.fullmatch, column)):
        return None
    import pandas

    try:
        stamps = pandas.to_datetime(pandas.Series(column).str.replace("/", "-"), format="ISO8601", utc=True)
    except ValueError:
        return None
    return [float(step) for step in (stamps - stamps[0]).dt.total_seconds()]


def clock(cell: str) -> float:
    """Seconds of hours, minutes and seconds."""
    parts = [float(part.replace(",", ".")) for part in cell.split(":")]
    return sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))


def over_midnight(times: list[float]) -> list[float]:
    """Seconds from the first time; one that falls by more than half a day is of the next day."""
    days, found = 0, [0.0]
    for before, now in pairwise(times):
        days += before - now > DAY / 2
        found.append(now + days * DAY - times[0])
    return found
