"""`metalstm-runs`: all runs under a folder, the newest first, with their states and results."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from metalstm.command import ending_with_errors
from metalstm.errors import ConfigError
from metalstm.files import expanded


def main() -> None:
    """The command."""
    with ending_with_errors():
        sys.stdout.write(table(parse().folder))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="metalstm-runs", description=__doc__)
    parser.add_argument(
        "folder",
        nargs="?",
        type=partial(expanded, name="folder", kind=ConfigError),
        default="outputs",
        help="where to look (default: outputs)",
    )
    return parser.parse_args()


def table(folder: Path) -> str:
    """The runs as a table.

    Raises:
        ConfigError: there is no such folder.
    """
    from metalstm.errors import printable
    from metalstm.run.listing import as_table, listed

    if not folder.is_dir():
        raise ConfigError.of(f"{folder} is no folder", "name the folder that runs are in: metalstm-runs <folder>")
    runs = listed(folder)
    if not runs:
        return f"no runs under {printable(str(folder))}\n"
    return "".join(f"{printable(line)}\n" for line in as_table(runs).splitlines())


if __name__ == "__main__":
    main()
