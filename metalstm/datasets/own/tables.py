"""A table of a person's own, as it comes: separators, headers, comments, decimal commas and time stamps are recognised.

Legend: S time steps, F columns.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metalstm.config.text import quoted
from metalstm.datasets.files.reader import BrokenLine
from metalstm.datasets.own.cells import Decimal, decimal_of, is_value, number, seconds
from metalstm.datasets.text.texts import MARKS, as_text, text_content
from metalstm.files.writing import MOST_BYTES, check_size

Numbers = np.ndarray[tuple[int, int], np.dtype[np.float64]]
SEPARATORS = (";", "\t", "|", ",", " ")  # a space: any number of spaces and tabs
LIKE_TIME = re.compile(r"\d[-/:]\d|\d\.\d+\.\d")
BLANKS = {" ": None}  # as str.split calls any number of spaces
LONGEST_LINE = 16 * 2**20  # bytes
SPARE = 3  # lines more than rows are read: a header, one of numbers, and a row to see that a table goes on
SAMPLE = 20  # rows that the separator is told by


class TableSettings(NamedTuple):
    """How tables are read, where they do not say it themselves."""

    columns: list[str] | None = None  # those that are read, in this order; None: all
    drop: list[str] | None = None  # those that are left out
    header: bool | None = None  # whether the first line is one; None: looked for
    decimal: Decimal | None = None  # None: looked for


class Table(NamedTuple):
    """The first rows of a table."""

    names: tuple[str, ...]  # of the columns; `column1`, `column2`, ... where it has no header
    values: Numbers  # [S, F]
    header: bool | None  # whether it has one; None: it is an array, which cannot have one
    in_comment: bool = False  # whether that is a comment
    times: frozenset[str] = frozenset()  # columns of time stamps, which are seconds from the first row
    dropped: tuple[str, ...] = ()  # columns that are not read


class Line(NamedTuple):
    number: int  # in its file, from 1
    text: str


def table_content(path: Path, rows: int) -> bytes:
    """Return the start of a csv file: as many lines as hold its first rows, whatever its size.

    Raises:
        BrokenLine: a line is longer than one may be.
    """
    found: list[bytes] = []
    left, held = rows + SPARE + 1, 0
    with path.open("rb") as file:
        if file.read(4).startswith(tuple(mark for mark, name in MARKS.items() if name != "utf-8-sig")):
            return text_content(path)  # a line does not end at its end's byte there
        file.seek(0)
        while left and (line := file.readline(LONGEST_LINE + 1)):
            found.append(line)
            if len(line) > LONGEST_LINE:
                what = f"it is longer than the {LONGEST_LINE / 2**20:.0f} MiB that a line may have"
                raise BrokenLine(len(found), what, "give a row a line of its own")
            check_size(held := held + len(line), MOST_BYTES)
            left -= bool(line.strip()) and not line.lstrip().startswith(b"#")
    return b"".join(found)


@contextmanager
def long_cells() -> Iterator[None]:
    """Open a context in which a cell may be a whole line, as it is to separators that the line does not have."""
    before = csv.field_size_limit(LONGEST_LINE)
    try:
        yield
    finally:
        csv.field_size_limit(before)


@long_cells()
def read_csv(data: bytes, rows: int, settings: TableSettings) -> Table:
    """Return the first rows of a csv file, and a few more where it has them.

    Raises:
        BrokenFile, BrokenLine: it is no table of numbers; with the setting that would read it, if there is one.
    """
    lines, separator, comment = kept_lines(as_text(data), rows + SPARE)
    if not lines:
        raise ValueError("there are no rows of numbers in it")
    if separator is None:
        separator = separator_of([line.text for line in lines[: SAMPLE + 1]])
    first = cells(lines[0], separator)
    second = cells(lines[1], separator) if len(lines) > 1 else []
    header = is_header(first, second) if settings.header is None else settings.header
    lines = lines[1:] if header else lines
    if not lines:
        raise ValueError("there are no rows of numbers in it")
    width = len(second if header else first)
    said = first if header else comment_names(comment, separator, width)
    table = Table(named(said, width), np.empty((0, 0)), bool(said), not header and bool(said))
    if settings.columns is None and not settings.drop and len(table.names) == width:
        values = read_plain(lines, separator, width)
        if values is not None:
            return table._replace(values=values)
    return read_cells(lines, separator, table, settings)


def kept_lines(text: str, most: int) -> tuple[list[Line], str | None, str]:
    """Return the first lines but for blank ones and comments.

    The separator, if the file names it; the comment before them.
    """
    lines: list[Line] = []
    separator, comment = None, ""
    for place, line in enumerate(io.StringIO(text, newline=None), start=1):
        stripped = line.strip()
        if place == 1 and (said := re.fullmatch(r'"?sep=(.)"?', line.rstrip("\n"), re.IGNORECASE)):
            separator = said[1]
        elif stripped.startswith("#"):
            comment = comment if lines else stripped.strip("# ")
        elif stripped.strip('";,|'):
            lines.append(Line(place, line.rstrip("\n")))
            if len(lines) == most:
                break
    return lines, separator, comment


def separator_of(lines: list[str]) -> str:
    """Return the separator by which most cells are values; of a table with a single column any."""
    best, chosen = (0.0, 0), max(",;\t", key=lines[0].count)
    rest = lines[1:] or lines
    if not set(lines[0]) & set(SEPARATORS) and all(number(line, "comma") is not None for line in rest):
        return ";"  # one name above numbers with decimal commas, not above two columns
    for separator in SEPARATORS:
        first, *rows = [cells(Line(0, line), separator, strict=False) for line in lines]
        rows = rows or [first]
        width = Counter(map(len, rows)).most_common(1)[0][0]
        if width < 2 or (len(first) != width and not 1 < len(first) == width - 1):
            continue
        found = [is_value(cell) for row in rows for cell in row if len(row) == width]
        if (score := (sum(found) / len(found), sum(found))) > best:
            best, chosen = score, separator
    return chosen


def cells(line: Line, separator: str, strict: bool = True) -> list[str]:
    """Return the cells of a line, without the spaces around them."""
    text = line.text.replace("\t", " ") if separator == " " else line.text
    reader = csv.reader([text.strip(" ")], delimiter=separator, strict=strict, skipinitialspace=True)
    try:
        return [cell.strip() for row in reader for cell in row]
    except csv.Error as error:
        raise BrokenLine(line.number, f"a quote is not closed, or out of place: {error}") from error


def is_header(first: list[str], second: list[str]) -> bool:
    """Whether a first row is one: no value in it; or names where the next row has values.

    pandas writes an empty name before numbers from 0 on.
    """
    others = [place for place, cell in enumerate(first) if not is_value(cell)]
    if not others or len(others) == len(first):
        return bool(others)
    if others == [0] and first == ["", *map(str, range(len(first) - 1))]:
        return True
    return len(second) == len(first) and all(first[place] and is_value(second[place]) for place in others)


def comment_names(comment: str, separator: str, width: int) -> list[str]:
    """Return the names of the columns in a comment before the first row, as numpy.savetxt writes them; or none."""
    found = cells(Line(0, comment), separator, strict=False)
    return found if len(found) == width and not any(map(is_value, found)) else []


def named(said: Sequence[str], width: int) -> tuple[str, ...]:
    """Return a name for each column, no two the same; a header that is one short has none for the first."""
    given = ["", *said] if len(said) == width - 1 else list(said) or [""] * width
    names: list[str] = []
    for place, name in enumerate(given, start=1):
        plain = name or f"column{place}"
        names.append(plain if plain not in names else f"{plain}.{place}")
    return tuple(names)


def read_plain(lines: list[Line], separator: str, width: int) -> Numbers | None:
    """[S, F] where all is plain numbers, as nearly always; None: it has to be looked at."""
    try:
        values = np.array([list(map(float, line.text.split(BLANKS.get(separator, separator)))) for line in lines])
    except ValueError:  # a cell is no number, or rows are not of one length
        return None
    return values if values.shape == (len(lines), width) and np.isfinite(values).all() else None


def read_cells(lines: list[Line], separator: str, table: Table, settings: TableSettings) -> Table:
    """Return the table cell by cell.

    With decimal commas, thousands and time stamps, or an error that names the line.
    """
    rows = [cells(line, separator) for line in lines]
    width = len(table.names)
    if width == len(rows[0]) and width > 1 and not any(row[-1] for row in rows):  # a separator at the end of each line
        rows, width = [row[:-1] for row in rows], width - 1
    for line, row in zip(lines, rows, strict=True):
        if len(row) != width:
            raise BrokenLine(line.number, f"{len(row)} columns, but {width} before")
    if table.header and not any(map(is_value, rows[0])):
        fix = "remove it, or begin it with # (units of the columns, say)"
        raise BrokenLine(lines[0].number, "there is no number in it, after the header", fix)
    places = {name: place for place, name in enumerate(table.names[:width])}
    kept = {name: place for name, place in places.items() if is_read(name, settings)}
    decimal = settings.decimal or decimal_of([row[place] for row in rows for place in kept.values()])
    columns: dict[str, list[float]] = {}
    times: set[str] = set()
    for name, place in kept.items():
        column = [row[place] for row in rows]
        stamps = seconds(column)
        times |= set() if stamps is None else {name}
        columns[name] = stamps or [
            number_in(line, cell, name, decimal) for line, cell in zip(lines, column, strict=True)
        ]
    return table._replace(
        names=tuple(columns),
        values=np.array(list(columns.values())).reshape(-1, len(rows)).T,
        times=frozenset(times),
        dropped=tuple(name for name in places if name not in kept),
    )


def is_read(name: str, settings: TableSettings) -> bool:
    return (settings.columns is None or name in settings.columns) and name not in (settings.drop or ())


def in_setting(setting: str, name: str) -> str:
    """Return a setting of one column's name, as it is typed."""
    return f"{setting}=[{name if name.isalnum() else quoted(name)}]"


def number_in(line: Line, cell: str, name: str, decimal: Decimal) -> float:
    """Return the number in a cell.

    Raises:
        BrokenLine: there is none, or it is not finite.
    """
    value = number(cell, decimal)
    leave_out = f"or leave the column out: {in_setting('dataset.drop', name)}"
    if not cell:
        raise BrokenLine(line.number, f"there is nothing in column '{name}'", f"fill it in, {leave_out}")
    if value is None:
        comma = " with a decimal comma" if decimal == "comma" else ""
        times = "write times as 2024-12-31 23:59:59, " if LIKE_TIME.search(cell) else ""
        raise BrokenLine(
            line.number, f"{cell[:40]!r} is not a number{comma}, in column '{name}'", f"mend it, {times}{leave_out}"
        )
    if not np.isfinite(value):
        raise BrokenLine(line.number, f"{cell} is not finite", f"mend it, {leave_out}")
    return value
