"""`metalstm-report`: how fast and how well runs learn the same tasks: a table, figures, a page."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from metalstm.cli.boundary import ending_with_errors, version_option
from metalstm.errors import ConfigError
from metalstm.files.paths import expanded
from metalstm.files.writing import as_json
from metalstm.reporting import comparison, missing
from metalstm.reporting.entries import curves, on_the_same_tasks, runs_in, without_result
from metalstm.reporting.figures import draw_comparison
from metalstm.reporting.page import page
from metalstm.reporting.text_tables import table_in_parts, wrapped

FORMATS = ("table", "markdown", "json")


def main() -> None:
    """Run the command."""
    with ending_with_errors():
        args = parse()
        sys.stdout.write(report(args.runs, args.out, args.target, args.format))
        draw_missing(args.runs)


def draw_missing(runs: list[Path]) -> None:
    """Draws what a single run should have and does not, and says so beside the table."""
    if len(runs) == 1:
        for name, file in missing.draw_missing(runs[0]):
            sys.stderr.write(f"{name:9} {file}\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="metalstm-report", description=__doc__)
    parser.add_argument(
        "runs",
        nargs="+",
        type=partial(expanded, name="RUN", kind=ConfigError),
        metavar="RUN",
        help="directories of runs on the same tasks, or folders with such in them",
    )
    parser.add_argument(
        "--out",
        type=partial(expanded, name="--out", kind=ConfigError),
        help="folder for report.html and comparison.md, .json and .png; none: to the screen alone",
    )
    parser.add_argument("--target", type=float, help="accuracy (a fraction) or error to be reached")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="table",
        help="what is printed: a table that fits the screen (default) ...",
    )
    version_option(parser)
    return parser.parse_args()


def report(runs: list[Path], out: Path | None, target: float | None, form: str = "table") -> str:
    """Write the comparison into `out`, and gives it in one of `FORMATS`.

    Raises:
        ConfigError: runs without a result, or on different tasks; or `out` cannot be written.
    """
    read = on_the_same_tasks(runs_in(runs))
    common, found = read[0].tasks, curves(read)
    rows = comparison.rows(common, found, target)
    left_out = without_result(runs)
    note = f"\nWithout a result, and so left out: {', '.join(map(str, left_out))}.\n" if left_out else ""
    markdown = comparison.markdown(common, rows) + note
    content = as_json({**common, "rows": rows, "without_result": list(map(str, left_out))})
    if out is not None:
        whole = page(read, target, left_out)
        try:
            out.mkdir(parents=True, exist_ok=True)
            (out / "comparison.md").write_text(markdown, encoding="utf-8", errors="replace")
            (out / "comparison.json").write_text(content, encoding="utf-8")
            draw_comparison(common, found, out / "comparison.png")
            (out / "report.html").write_text(whole, encoding="utf-8", errors="replace")
        except (OSError, ValueError) as error:  # of a path that no system takes, a ValueError
            raise ConfigError.of(
                f"{out} cannot be written: {getattr(error, 'strerror', None) or error}", "give --out=<a folder>"
            ) from error
    if form == "table":
        table = table_in_parts(*comparison.cells(common, rows))
        return f"{wrapped(comparison.title(common, rows))}\n{table}{wrapped(note)}"
    return markdown if form == "markdown" else content
