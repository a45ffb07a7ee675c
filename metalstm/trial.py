"""One trial of a search: `python -m metalstm.trial DIRECTORY SETTING...` begins a run there, or goes on with it."""

from __future__ import annotations

import sys
from pathlib import Path

from metalstm.command import complain, in_our_words
from metalstm.composition import composed, quoted
from metalstm.errors import MetalstmError


def main() -> None:
    """The process."""
    try:
        with in_our_words("train"):
            trial(Path(sys.argv[1]), sys.argv[2:])
    except MetalstmError as error:
        complain(error)
        sys.exit(error.exit_code)


def trial(path: Path, settings: list[str]) -> None:
    """A run, or the rest of it.

    Args:
        path: its directory.
        settings: as on the command line of `metalstm-train`.
    """
    from metalstm.run.directory import CONFIG, Place, start_log
    from metalstm.run.distribution import ALONE
    from metalstm.train import begin_or_resume

    start_log()
    if (path / CONFIG).exists():
        settings = [f"resume={quoted(str(path))}"]
    place = Place(path.parent, path.name)
    begin_or_resume(composed("train", settings), settings, ["metalstm-train", *settings], ALONE, place)


if __name__ == "__main__":
    main()
