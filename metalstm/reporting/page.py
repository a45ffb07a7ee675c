"""The HTML report: one file, no network, readable in light and dark, on wide and narrow screens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metalstm.files.writing import write_atomically, writing
from metalstm.reporting import comparison, confusion, gallery, protocol, results_sections, training_curves
from metalstm.reporting.charts import STYLES
from metalstm.reporting.comparison import counted, task_in_words
from metalstm.reporting.entries import Entry, Run, curves, on_the_same_tasks
from metalstm.reporting.markup import Markup, joined, tag
from metalstm.reporting.results_sections import with_interval
from metalstm.reporting.training_curves import in_words
from metalstm.runs.layout import CONFUSION, GALLERY, METRICS, REPORT

STYLE = Path(__file__).with_name("report.css")
MOST_COLOURED = 16  # curves; of more the best few are coloured, and the rest grey
COLOURED = 8


def page(runs: Sequence[Run], target: float | None = None, left_out: Sequence[Path] = ()) -> str:
    """Return the report of runs on the same tasks.

    Args:
        runs: from `entries.on_the_same_tasks`.
        target: accuracy (a fraction) or error to be reached; None: nine tenths of the way, see `comparison`.
        left_out: directories of runs that have no result.
    """
    common, found = runs[0].tasks, curves(runs)
    rows = comparison.rows(common, found, target)
    styles = styles_of(rows)
    places = {row["name"]: place for place, row in enumerate(rows)}
    best_first = sorted(runs, key=lambda run: places[run.learner.name])
    optional = {
        f"training curves ({METRICS})": training_curves.section(common, best_first, styles),
        f"one task ({GALLERY})": gallery.section(best_first),
        f"hardest classes ({CONFUSION})": confusion.section(best_first),
    }
    sections = [
        protocol.protocol(common, runs),
        results_sections.results(common, rows, styles),
        results_sections.adaptation(common, found, styles),
        results_sections.differences(common, rows, styles),
        results_sections.target(common, rows, styles),
        *optional.values(),
        protocol.cost(best_first, styles),
        protocol.reproduce(best_first),
    ]
    kept = [section for section in sections if section is not None]
    lacking = [name for name, section in optional.items() if section is None]
    if common["metric"] == "mse":
        lacking = [name for name in lacking if CONFUSION not in name]
    title = title_of(common, runs)
    body = [
        tag("header", tag("h1", title), tag("p", lead(common, runs, found, rows), class_="lead")),
        tag("nav", *(tag("a", section.heading, href=f"#{section.anchor}") for section in kept)),
    ]
    if left_out:
        body.append(tag("p", f"Without a result, and so left out: {', '.join(map(str, left_out))}.", class_="note"))
    if lacking:
        body.append(tag("p", f"Not in these folders, and so not shown: {', '.join(lacking)}.", class_="note"))
    body += [tag("section", tag("h2", section.heading), section.body, id=section.anchor) for section in kept]
    return document(title, joined(body))


def styles_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, int | None]:
    """Return the colour and dash of each row: of many, those of the best ones and of what was not meta-trained."""
    if len(rows) <= min(MOST_COLOURED, STYLES):
        return {row["name"]: place for place, row in enumerate(rows)}
    coloured = [*rows[:COLOURED], *(row for row in rows[COLOURED:] if row["training_s"] is None)][:MOST_COLOURED]
    names = [row["name"] for row in coloured]
    return {row["name"]: names.index(row["name"]) if row["name"] in names else None for row in rows}


def title_of(common: Mapping[str, Any], runs: Sequence[Run]) -> str:
    what = f"{common['dataset']}, {task_in_words(common)}"
    return f"{runs[0].learner.name} on {what}" if len(runs) == 1 else f"{len(runs)} runs on {what}"


def lead(
    common: Mapping[str, Any], runs: Sequence[Run], found: Sequence[Entry], rows: Sequence[Mapping[str, Any]]
) -> Markup:
    """Return the result in words."""
    accuracy = common["metric"] == "accuracy"
    if accuracy:
        task = (
            f"A task: tell {common['ways']} classes apart that were never seen before, from "
            f"{counted(common['shots'], 'example')} of each. "
        )
    else:
        task = f"A task: learn a function never seen before from {counted(common['shots'], 'example')}. "
    trained = [row for row in rows if row["training_s"] is not None] or list(rows)
    best = trained[0]
    said = f"{best['name']} reaches "
    if len(runs) > 1:
        said = f"The best of {len(runs)} runs is {best['name']}: "
    after = f" {in_words(common)} after {counted(best['steps'], best['unit'])}"
    parts: list[object] = [task, said, tag("b", with_interval(best["value"], best["ci95"], accuracy)), after]
    scratch = next((row for row in rows if row["training_s"] is None), None)
    if scratch is not None and scratch is not best:
        parts += [f"; the best from scratch is at {with_interval(scratch['value'], scratch['ci95'], accuracy)}"]
    if accuracy:
        parts += [f", guessing at {100 / common['ways']:.3g}%"]
    return joined([*parts, "."])


def document(title: str, body: Markup) -> str:
    """Return a whole page."""
    head = tag(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        tag("title", title),
        Markup('<link rel="icon" href="data:,">'),  # or a browser asks a server for one
        tag("style", Markup(STYLE.read_text(encoding="utf-8"))),
    )
    return f'<!doctype html>\n<html lang="en">{head}{tag("body", tag("main", body))}</html>\n'


def write_report(folder: Path) -> None:
    """Write a run's own report into its folder.

    Raises:
        MetalstmError: it cannot be written, or a file of the run is broken.
    """
    path = folder / REPORT
    with writing(path):
        write_atomically(path, page(on_the_same_tasks([folder])).encode("utf-8", errors="replace"))
