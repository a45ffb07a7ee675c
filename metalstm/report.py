"""`metalstm-report`: how fast and how well runs learn the same tasks: a table, figures, a page."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path

from metalstm.command import ending_with_errors
from metalstm.errors import ConfigError
from metalstm.files import expanded


def main() -> None:
    """The command."""
    with ending_with_errors():
        args = parse()
        sys.stdout.write(report(args.runs, args.out, args.target))


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
    return parser.parse_args()


def report(runs: list[Path], out: Path | None, target: float | None) -> str:
    """Writes the comparison into `out`, and gives its table.

    Raises:
        ConfigError: runs without a result, or on different tasks; or `out` cannot be written.
    """
    from metalstm.reporting import comparison
    from metalstm.reporting.entries import curves, on_the_same_tasks, runs_in, without_result
    from metalstm.reporting.figures import draw_comparison
    from metalstm.reporting.page import page

    read = on_the_same_tasks(runs_in(runs))
    common, found = read[0].tasks, curves(read)
    rows = comparison.rows(common, found, target)
    table = comparison.markdown(common, rows)
    left_out = without_result(runs)
    if left_out:
        table += f"\nWithout a result, and so left out: {', '.join(map(str, left_out))}.\n"
    if out is not None:
        whole = page(read, target, left_out)
        try:
            out.mkdir(parents=True, exist_ok=True)
            (out / "comparison.md").write_text(table, encoding="utf-8")
            (out / "comparison.json").write_text(json.dumps({**common, "rows": rows}, indent=1) + "\n")
            draw_comparison(common, found, out / "comparison.png")
            (out / "report.html").write_text(whole, encoding="utf-8")
        except (OSError, ValueError) as error:  # of a path that no system takes, a ValueError
            raise ConfigError.of(
                f"{out} cannot be written: {getattr(error, 'strerror', None) or error}", "give --out=<a folder>"
            ) from error
    return table


if __name__ == "__main__":
    main()
