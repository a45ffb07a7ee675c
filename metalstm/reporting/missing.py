"""Draw the figures and the report of a run that has its result; where that fails, they can be drawn later."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from metalstm.reporting import figures, lifelong, page
from metalstm.reporting.entries import read
from metalstm.runs.layout import CURVE, LIFELONG, REPORT, RESULT, TESTS, optional


def draw_missing(run: Path) -> list[tuple[str, Path]]:
    """Draws what a run that is over does not have; gives what each thing drawn is, and its file.

    A figure that cannot be drawn is a warning.
    """
    if not (run / RESULT).exists():
        return []
    wanted = [("report", run / REPORT, report), ("figure", run / CURVE, curve)]
    found = [(name, file) for name, file, draw in wanted if not file.exists() and drawn(name, file, run, draw)]
    later = [file for result in sorted(run.glob(f"{TESTS}/*/{LIFELONG}")) for file in draw_matrices(result, run)]
    return [*found, *(("figure", file) for file in later)]


def draw_matrices(result: Path, run: Path) -> list[Path]:
    """As `draw_missing`, of a result in `lifelong.json`."""
    file = result.parent / lifelong.FIGURE
    return [file] if not file.exists() and drawn("figure", file, run, matrices) else []


def drawn(name: str, file: Path, run: Path, draw: Callable[[Path], bool]) -> bool:
    """Whether a file could be drawn."""
    with optional(name, f"; metalstm-report {shlex.quote(str(run))} draws it later"):
        return draw(file)
    return False


def report(file: Path) -> bool:
    page.write_report(file.parent)
    return True


def curve(file: Path) -> bool:
    return figures.draw_adaptation_curve(read(file.parents[1] / RESULT), file)


def matrices(file: Path) -> bool:
    return lifelong.draw_lifelong(read(file.parents[1] / LIFELONG), file)
