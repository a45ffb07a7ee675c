"""Tables that fit the screen they are printed on; 80 columns where there is none, or as many as `COLUMNS` says."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from metalstm.errors import printable

GAP = 2  # between columns
Row = Sequence[str]


def wrapped(text: str) -> str:
    """Sentences in lines of the screen's width."""
    width = console(io.StringIO()).width
    wrapper = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)  # paths stay whole
    lines = (wrapper.wrap(printable(line)) for line in text.splitlines())
    return "".join(f"{line}\n" for found in lines for line in found or [""])


def table(heading: Row, rows: Sequence[Row], below: Sequence[str]) -> str:
    """Return a line for each row, its last cell in several where it is too wide.

    Each with a line of any width below it.

    Where all have room beside their rows, they stand there, under the heading's last name.

    Args:
        heading: names of the columns, and of the lines below.
        rows: without what is below.
        below: of each row, such as a path: it is never cut, so that it can be copied.
    """
    width = console(io.StringIO()).width
    whole = [[*row, line] for row, line in zip(rows, below, strict=True)]
    *widths, last = (max(len(name), most) for name, most in zip(heading, column_widths(heading, whole), strict=True))
    if sum(widths) + GAP * len(widths) + last <= width:
        return in_columns(heading, whole, [*widths, last])
    names = heading[:-1]
    widths[-1] = max(len(names[-1]), min(widths[-1], width - sum(widths[:-1]) - GAP * len(widths[:-1])))
    lines = [in_columns(names, [], widths)]
    for row, line in zip(rows, below, strict=True):
        lines += [in_columns(None, [row], widths), f"  {printable(line)}\n"]
    return "".join(lines)


def in_columns(heading: Row | None, rows: Sequence[Row], widths: Sequence[int]) -> str:
    """Rows in columns of such widths; what is wider goes on in the next line."""
    made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_header=heading is not None)
    for name, width in zip(heading or [""] * len(widths), widths, strict=True):
        made.add_column(Text(printable(name)), overflow="fold", width=width)
    return rendered(made, rows)


def table_in_parts(heading: Row, rows: Sequence[Row]) -> str:
    """Return a table of many columns: those that do not fit come below, beside the first one again."""
    width = console(io.StringIO()).width
    first, *others = column_widths(heading, rows)
    first = min(first, width // 2)
    others = [min(other, width - first - GAP) for other in others]
    texts = []
    for part in parts(others, width - first):
        columns = [0, *part]
        widths = [first, *(others[column - 1] for column in part)]
        of_part = [[row[column] for column in columns] for row in rows]
        texts.append(in_columns([heading[column] for column in columns], of_part, widths))
    return "\n".join(texts)


def parts(widths: Sequence[int], room: int) -> list[range]:
    """Return the columns from 1 on, as many at a time as there is room for."""
    found, start, taken = [], 1, 0
    for column, width in enumerate(widths, start=1):
        if taken + GAP + width > room:
            found.append(range(start, column))
            start, taken = column, 0
        taken += GAP + width
    return [part for part in [*found, range(start, len(widths) + 1)] if part]


def column_widths(heading: Row, rows: Sequence[Row]) -> list[int]:
    """Return what each column takes where its cells stay whole, and its heading may have several lines."""
    columns = zip(heading, *rows, strict=True)
    return [max(map(cell_len, [*name.split(), *map(printable, cells), ""])) for name, *cells in columns]


def rendered(made: Table, rows: Sequence[Row]) -> str:

    for row in rows:
        made.add_row(*(Text(printable(cell)) for cell in row))
    text = io.StringIO()
    console(text).print(made)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def console(file: io.StringIO) -> Console:
    """Plain text of the screen's width."""
    return Console(file=file, force_terminal=False, color_system=None)
