"""Tables that fit the screen they are printed on; 80 columns where there is none, or as many as `COLUMNS` says."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from metalstm.errors import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

GAP = 2  # between columns
Row = Sequence[str]


def wrapped(text: str) -> str:
    """Sentences in lines of the screen's width."""
    width = console(io.StringIO()).width
    wrapper = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)  # paths stay whole
    lines = (wrapper.wrap(printable(line)) for line in text.splitlines())
    return "".join(f"{line}\n" for found in lines for line in found or [""])


def table(heading: Row, rows: Sequence[Row], whole: Sequence[str] = ()) -> str:
    """A line for each row, or several where a cell is too wide; columns whose names are in `whole` are not cut."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for name in heading:
        made.add_column(Text(printable(name)), overflow="fold", no_wrap=name in whole)
    return rendered(made, rows)


def table_in_parts(heading: Row, rows: Sequence[Row]) -> str:
    """A table of many columns: those that do not fit come below, beside the first one again."""
    from rich.table import Table
    from rich.text import Text

    width = console(io.StringIO()).width
    first, *others = column_widths(heading, rows)
    first = min(first, width // 2)
    others = [min(other, width - first - GAP) for other in others]
    texts = []
    for part in parts(others, width - first):
        made = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
        for column, its_width in [(0, first), *((column, others[column - 1]) for column in part)]:
            made.add_column(Text(printable(heading[column])), overflow="fold", width=its_width)
        texts.append(rendered(made, [[row[0], *(row[column] for column in part)] for row in rows]))
    return "\n".join(texts)


def parts(widths: Sequence[int], room: int) -> list[range]:
    """The columns from 1 on, as many at a time as there is room for."""
    found, start, taken = [], 1, 0
    for column, width in enumerate(widths, start=1):
        if taken + GAP + width > room:
            found.append(range(start, column))
            start, taken = column, 0
        taken += GAP + width
    return [part for part in [*found, range(start, len(widths) + 1)] if part]


def column_widths(heading: Row, rows: Sequence[Row]) -> list[int]:
    """What each column takes where its cells stay whole, and its heading may have several lines."""
    from rich.cells import cell_len

    columns = zip(heading, *rows, strict=True)
    return [max(map(cell_len, [*name.split(), *map(printable, cells), ""])) for name, *cells in columns]


def rendered(made: Table, rows: Sequence[Row]) -> str:
    from rich.text import Text

    for row in rows:
        made.add_row(*(Text(printable(cell)) for cell in row))
    text = io.StringIO()
    console(text).print(made)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def console(file: io.StringIO) -> Console:
    """Plain text of the screen's width."""
    from rich.console import Console

    return Console(file=file, force_terminal=False, color_system=None)
