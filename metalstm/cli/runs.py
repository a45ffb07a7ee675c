"""`metalstm-runs`: all runs under a folder, the newest first, with their states and results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from metalstm.cli.boundary import ending_with_errors, version_option
from metalstm.errors import ConfigError, printable
from metalstm.files.paths import expanded
from metalstm.files.writing import as_json
from metalstm.reporting.text_tables import table
from metalstm.runs.listing import Listed, listed

KEYS = {
    "path": "the run directory",
    "state": "running: its lock is held; finished: it has its result; trained: to its last step, no meta-test wanted;",
    "": "pruned: by a search; interrupted: it can go on; failed",
    "step": "the last step done",
    "steps": "steps that it is to have",
    "begun": "when it was begun, ISO 8601, UTC",
    "dataset": "name of the dataset",
    "learner": "name of the learner",
    "model": "name of the model",
    "ways": "classes in a task",
    "shots": "support examples of a class",
    "seed": "the seed",
    "meta_validation": "the last one: accuracy as a fraction, or mean squared error",
    "metric": "of the meta-test: accuracy, or mse",
    "value": "of the meta-test: accuracy as a fraction, or mean squared error",
    "ci95": "half of the 95% interval of value",
    "result": "in words; or why it failed, or how to go on",
}
EPILOG = """\
--json prints a list with an object for each run. Keys are only ever added; what is not known is null:
{keys}

examples:
  metalstm-runs --filter state=interrupted,failed
  metalstm-runs --filter dataset=omniglot --filter 'learner=*maml*' --sort value --reverse --limit 5
  metalstm-runs --json | jq -r '.[] | select(.value > 0.9) | .path'
"""


def main() -> None:
    """Run the command."""
    with ending_with_errors():
        args = parse()
        sys.stdout.write(shown(args))


def parse() -> argparse.Namespace:
    keys = "\n".join(f"  {name:<16} {meaning}".rstrip() for name, meaning in KEYS.items())
    parser = argparse.ArgumentParser(
        prog="metalstm-runs",
        description=__doc__,
        epilog=EPILOG.format(keys=keys),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=partial(expanded, name="folder", kind=ConfigError),
        default="outputs",
        help="where to look (default: outputs)",
    )
    parser.add_argument(
        *("--filter", "-f"),
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only runs with this, any of VALUE,VALUE, or what fits a pattern with * and ?; of several all must fit",
    )
    parser.add_argument(
        "--sort",
        default="begun",
        metavar="KEY",
        help="smallest first, but begun newest first (default); unknown last",
    )
    parser.add_argument("--reverse", action="store_true", help="in the other order")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N of these alone")
    parser.add_argument("--json", action="store_true", help="for scripts: see below")
    version_option(parser)
    return parser.parse_args()


def shown(args: argparse.Namespace) -> str:
    """Return the runs as they are asked for.

    Raises:
        ConfigError: there is no such folder, or no such key, or a limit that is none.
    """
    check(args)
    found = chosen(listed(args.folder), args)
    runs = found[: args.limit]
    if args.json:
        return as_json([run.entry() for run in runs])
    if not runs:
        which = f" with {' and '.join(args.filter)}" if args.filter else ""
        return printable(f"no runs under {args.folder}{which}") + "\n"
    more = f"{len(found) - len(runs)} more\n" if len(found) > len(runs) else ""
    return as_table(runs) + more


def check(args: argparse.Namespace) -> None:
    """Whether what is asked for can be answered; raises as `shown`."""
    if not args.folder.is_dir():
        raise ConfigError.of(f"{args.folder} is no folder", "name the folder that runs are in: metalstm-runs <folder>")
    for text in args.filter:
        if "=" not in text:
            raise ConfigError.of(f"--filter {text} names no value", "give --filter KEY=VALUE, e.g. state=finished")
    for option, key in [("--sort", args.sort), *(("--filter", text.partition("=")[0]) for text in args.filter)]:
        if not key or key not in KEYS:
            raise ConfigError.of(
                f"{option} {key}: runs have no such key", f"use one of {', '.join(filter(None, KEYS))}"
            )
    if args.limit is not None and args.limit < 1:
        raise ConfigError.of(f"--limit {args.limit}, but it must be at least 1", "use --limit>=1, or leave it out")


def chosen(runs: Sequence[Listed], args: argparse.Namespace) -> list[Listed]:
    """Return the runs that fit the filters, sorted: what does not have the key comes last in either order."""
    filters = [text.partition("=")[::2] for text in args.filter]
    fitting = [run for run in runs if all(fits(run, key, value) for key, value in filters)]

    def order(run: Listed) -> Any:
        return getattr(run, args.sort)

    known = [run for run in fitting if order(run) is not None and order(run) == order(run)]  # None, and not a number
    unknown = [run for run in fitting if run not in known]
    return sorted(known, key=order, reverse=args.reverse != (args.sort == "begun")) + unknown


def fits(run: Listed, key: str, wanted: str) -> bool:
    """Return whether a run has one of the values wanted; numbers are compared as numbers."""
    value = run.entry()[key]
    text = "" if value is None else str(value)
    return any(
        fnmatchcase(text, one) or (isinstance(value, float) and is_number(one, value)) for one in wanted.split(",")
    )


def is_number(text: str, value: float) -> bool:
    """Return whether a text is a number of this value."""
    try:
        return float(text) == value
    except ValueError:
        return False


def as_table(runs: Sequence[Listed]) -> str:
    """Return runs as lines of columns, their paths beside them or below."""
    rows, below = [], []
    for run in runs:
        step = f"{run.step}" if run.steps is None else f"{run.step}/{run.steps}"
        when = "-" if run.begun is None else f"{run.begun:%Y-%m-%d %H:%M}"
        goes_on = run.state == "interrupted"  # the command stands below, whole
        rows.append((run.state, step, when, "go on with the command below" if goes_on else run.result))
        below.append(run.result.removeprefix("go on with ") if goes_on else str(run.path))
    return table(("state", "step", "begun, UTC", "result", "run"), rows, below)
