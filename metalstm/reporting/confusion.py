"""The hardest classes and what they are taken for, from `confusion.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalstm.reporting.entries import Run
from metalstm.reporting.gallery import image
from metalstm.reporting.markup import Markup, Section, joined, table, tag
from metalstm.reporting.optional import read_optional
from metalstm.runs.layout import CONFUSION


def section(runs: Sequence[Run]) -> Section | None:
    """Those of the first run that has the file; None: no run has."""
    for run in runs:
        content = read_optional(run.folder / CONFUSION)
        if content is None:
            continue
        try:
            return Section("confusion", "Hardest classes", described(content, run.learner.name))
        except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError):
            continue  # as if it were not there
    return None


def described(content: Mapping[str, Any], learner: str) -> Markup:
    hardest, classes = content["hardest"], int(content["classes"])
    everyone = len(hardest) == classes
    said = (
        f"{'All' if everyone else f'The {len(hardest)} hardest of'} {classes} test classes by {learner}, over "
        f"{int(content['queries']):,} queries of all test tasks"
    )
    if everyone and classes > 1:
        told = f"{said}: how often a class (row) was taken for another (column), of the queries in tasks that had both."
        return joined([tag("p", told), matrix(hardest)])
    rows = [
        [
            called(entry),
            share(int(entry["correct"]), int(entry["queries"])),
            f"{int(entry['queries']):,}",
            joined([taken(other) for other in entry["taken_for"]]) or "-",
        ]
        for entry in hardest
    ]
    told = f"{said}. A share is of the queries in tasks that had both classes."
    header = ["class", "right", "queries", "taken for"]
    return joined([tag("p", told), table(header, rows, class_="words")])


def called(entry: Mapping[str, Any]) -> Markup:
    """Return a class's name, and what an example of it looks like."""
    drawn = [image(entry["image"], f"an example of {entry['name']}", "small"), " "] if "image" in entry else []
    return joined([*drawn, entry["name"]])


def taken(other: Mapping[str, Any]) -> Markup:
    count, whole = int(other["count"]), int(other["of"])
    return tag("span", called(other), " ", tag("small", f"{share(count, whole)} ({count} of {whole})"), class_="taken")


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%"


def matrix(entries: Sequence[Mapping[str, Any]]) -> Markup:
    """Return a heat map: rows are what is, columns what was said, in shares of the queries of tasks that had both."""
    entries = sorted(entries, key=lambda entry: str(entry["name"]))
    names = [str(entry["name"]) for entry in entries]
    rows = []
    for entry in entries:
        of = {str(other["name"]): (int(other["count"]), int(other["of"])) for other in entry["taken_for"]}
        of[str(entry["name"])] = (int(entry["correct"]), int(entry["queries"]))
        cells = []
        for name in names:
            count, whole = of.get(name, (0, 1))
            part = count / whole
            told = f"{entry['name']} taken for {name}: {count} of {whole}" if name in of else "never"
            text = f"{100 * part:.0f}%" if name in of else "·"
            kind = "same" if name == entry["name"] else "other"
            cells.append(tag("span", text, title=told, class_=f"heat {kind}", style=f"--share:{part:.3f}"))
        rows.append([called(entry), *cells, f"{int(entry['queries']):,}"])
    return table(["", *names, "queries"], rows, class_="matrix")
