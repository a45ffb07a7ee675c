"""The columns that all tables of a person's data have in common, matched by their names. Legend: S steps, F columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from metalstm.datasets.files.reader import BrokenFile
from metalstm.datasets.own.tables import Numbers, Table, TableSettings, in_setting, named

SAME = (
    "give all files the same columns, or name those to read, or to leave out: dataset.columns=[...], dataset.drop=[...]"
)
Column = np.ndarray[tuple[int], np.dtype[np.float64]]  # [S]
SINCE_1970 = 9e8  # s: whole years ago, in whatever unit


class Columns(NamedTuple):
    """Which columns of a table are read, and in which order."""

    names: tuple[str, ...]  # of those that are read
    counter: str | None  # a further one that only counts the rows, and is left out
    header: bool  # whether files have one; an array has none, and its columns are told by their places
    numbered: bool  # whether that is a row of numbers

    @property
    def all(self) -> tuple[str, ...]:
        return self.names if self.counter is None else (self.counter, *self.names)

    def of(self, table: Table, whose: str = "the run reads") -> Numbers:
        """[S, F]: the columns of a table, in order.

        Raises:
            BrokenFile: it has others; `whose` says who has those it should have.
        """
        if self.numbered and table.header is False:
            table = first_row_as_header(table)
        if table.in_comment and not self.header:
            table = without_names(table)
        width = table.values.shape[1]
        by_place = not (self.header and table.header)
        if by_place and width not in (len(self.all), len(self.names)):
            raise BrokenFile(f"{width} columns, but {whose} {len(self.all)}", SAME)
        if table.header is not None and table.header != self.header:
            what = f"a header ({listed(table.names)}), but other files have none" if table.header else "no header"
            other = "" if table.header else f", but {whose} one: {listed(self.all)}"
            raise BrokenFile(what + other, "give all files the same header, or none")
        names = (self.all if width == len(self.all) else self.names) if by_place else table.names
        missing = [name for name in self.names if name not in names]
        beside = [name for name in names if name not in self.all]
        if missing or beside:
            raise BrokenFile(f"columns {listed(names)}, but {whose} {listed(self.all)}", SAME)
        return table.values[:, [names.index(name) for name in self.names]]


class Settled(NamedTuple):
    """The columns of all tables."""

    columns: Columns
    notes: list[str]  # what was recognised, for the log
    hints: list[str]  # what may be meant otherwise, with its setting
    changes: list[str]  # what makes numbers others than those of the rows as they stand


def settle(tables: Sequence[Table], settings: TableSettings) -> Settled:
    """Return the columns of all tables, as the first of them has them.

    Raises:
        BrokenFile: columns are named that there are not.
    """
    written = with_headers([table for table in tables if table.header is not None])
    numbered = settings.header is None and has_number_header(written)
    if numbered:
        written = [first_row_as_header(table) for table in written]
    first = (written or tables)[0]
    for setting, given in (("columns", settings.columns or ()), ("drop", settings.drop or ())):
        unknown = [name for name in given if name not in (*first.names, *first.dropped)]
        if unknown:
            what = (
                f"dataset.{setting} names {listed(unknown)}, but the columns are {listed(first.dropped + first.names)}"
            )
            raise BrokenFile(what, "name columns that there are")
    notes, changes = [], []
    if numbered:
        notes.append(f"the first row, {listed(first.names)}, is a header (dataset.header=false: a row of numbers)")
        changes.append("numbered")
    if any(table.names != first.names for table in written if table.header):
        notes.append(f"columns in another order are matched by name: {listed(first.names)}")
        changes.append("matched")
    if first.times:
        notes.append(f"{listed(sorted(first.times))}: seconds from the first row")
    names, counter = first.names, None
    if settings.columns is not None:
        names = tuple(settings.columns)
    elif counts_rows(written, first.names):
        counter, *rest = names
        names = tuple(rest)
        notes.append(f"column {listed([counter])} counts the rows and is left out (dataset.columns takes it in)")
        changes.append("index")
    hints = [] if settings.columns or settings.header is not None else look_again(written, names)
    return Settled(Columns(names, counter, bool(first.header), numbered), notes, hints, changes)


def look_again(written: list[Table], names: tuple[str, ...]) -> list[str]:
    """Rows that may be headers, and columns that may be times, rows' numbers or labels, although they are numbers."""
    hints = []
    firsts = [table.values[0] for table in written if not table.header]
    if len(firsts) > 2 and all(np.array_equal(first, firsts[0]) for first in firsts) and len(set(firsts[0])) > 1:
        row = ", ".join(f"{value:g}" for value in firsts[0][:8])
        hints.append(f"all {len(firsts)} tables begin with {row}: if that is a header, give dataset.header=true")
    for name in names if written else ():
        columns = [table.values[:, table.names.index(name)] for table in written if name in table.names]
        may_be = meant_otherwise(columns) if len(names) > 1 and name not in written[0].times else ""
        if may_be:
            setting = in_setting("dataset.drop", name)
            hints.append(f"column '{name}' may be {may_be}: if so, leave it out with {setting}")
    return hints


def meant_otherwise(columns: list[Column]) -> str:
    """Return what a column of all tables may be instead of a measurement; empty: nothing else."""
    steps = np.concatenate([np.diff(column) for column in columns])
    firsts = [column[0] for column in columns]
    if not len(steps):
        return ""
    if (steps > 0).all() and min(firsts) > SINCE_1970:
        return "times since 1970"
    if (steps > 0).all() and all((column % 1 == 0).all() for column in columns):
        return "the rows' numbers, which only grow"
    if (steps == 0).all() and len(set(firsts)) > 1:
        return "a label, the same in all rows of a file"
    return ""


def with_headers(written: list[Table]) -> list[Table]:
    """Tables whose comments are headers only where they are the same in all."""
    if all(table.in_comment for table in written) and len({frozenset(table.names) for table in written}) == 1:
        return written
    return [without_names(table) if table.in_comment else table for table in written]


def without_names(table: Table) -> Table:
    return table._replace(names=named([], len(table.names)), header=False, in_comment=False)


def has_number_header(written: list[Table]) -> bool:
    """Whether every table begins with 0, 1, 2, ... or 1, 2, 3, ..., as pandas numbers columns without names."""
    firsts = {tuple(table.values[0]) for table in written}
    if len(written) < 2 or len(firsts) != 1 or any(table.header or len(table.values) < 2 for table in written):
        return False
    (first,) = firsts
    return len(first) > 1 and first in (tuple(range(len(first))), tuple(range(1, len(first) + 1)))


def first_row_as_header(table: Table) -> Table:
    return table._replace(names=tuple(f"{name:g}" for name in table.values[0]), values=table.values[1:], header=True)


def counts_rows(written: list[Table], names: tuple[str, ...]) -> bool:
    """Whether the first column is an index: it counts by 1 in all tables."""
    if len(names) < 2 or any(names[0] in table.times or names[0] not in table.names for table in written):
        return False
    indices = [table.values[:, table.names.index(names[0])] for table in written]
    return any(len(index) > 1 for index in indices) and all(
        index[0] % 1 == 0 and (np.diff(index) == 1).all() for index in indices
    )


def listed(names: Iterable[str]) -> str:
    """Names in a message, the first few."""
    given = list(names)
    return ", ".join(f"'{name[:40]}'" for name in given[:8]) + (", ..." if len(given) > 8 else "")
