"""`metalstm-adapt`: adapts a finished run's learner to a support set of one's own, and predicts."""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import DictConfig

from metalstm.cli.command import run_command
from metalstm.config.parse import adapt_settings
from metalstm.config.schema import AdaptSettings
from metalstm.errors import ConfigError, Problem
from metalstm.experiment.identity import run_settings
from metalstm.files.paths import PREDICTIONS, card_of
from metalstm.files.writing import check_writable


def main() -> None:
    """Run the command."""
    run_command("adapt", check, "metalstm.experiment.adapt:adapt")


def check(config: DictConfig) -> None:
    """Refuse settings that are out of bounds, a folder that is no run, and a place that cannot be written to."""
    given = adapt_settings(config)
    check_asked(given)
    run_settings(Path(given.run), given.plugins)


def check_asked(given: AdaptSettings) -> None:
    """Whether there is anything to do, and where to put it.

    Raises:
        ConfigError: with every problem found.
    """
    problems: list[Problem] = []
    if given.query is not None and given.support is None:
        problems.append(Problem("query, but no support set to learn from", "give support=<a folder with labels>"))
    if given.query is None and given.export is None:
        problems.append(Problem("nothing is asked for", "give support=... and query=..., or export=..."))
    if given.export is not None and not given.export.endswith(".safetensors"):
        problems.append(Problem(f"export={given.export} is no safetensors file", "use export=<name>.safetensors"))
    if given.query is not None:
        if Path(given.out).suffix.lower() not in PREDICTIONS:
            known = ", ".join(f"out=<name>{suffix}" for suffix in PREDICTIONS)
            problems.append(Problem(f"out={given.out}: its ending names no format", f"use one of {known}"))
        problems += unwritable("out", given.out, given.overwrite)
    if given.export is not None:
        problems += unwritable("export", given.export, given.overwrite)
        problems += unwritable("export", card_of(given.export), given.overwrite)
    if problems:
        raise ConfigError(*problems)


def unwritable(setting: str, name: str, overwrite: bool) -> list[Problem]:
    """Return what is wrong with the place of a file that is to be written.

    A file that is there must be free to overwrite.
    """
    file = Path(name)
    fix = f"give {setting}=<a file in a folder of yours>"
    if file.exists() and not file.is_file():
        return [Problem(f"{setting}={name} is {'a folder' if file.is_dir() else 'no file'}", fix)]
    if not file.parent.is_dir():
        return [Problem(f"{setting}={name}: there is no folder {file.parent}", fix)]
    try:
        check_writable(file.parent)
    except OSError as error:
        return [Problem(f"{setting}={name}: nothing can be written to {file.parent}: {error.strerror or error}", fix)]
    if os.path.lexists(file) and not overwrite:
        return [Problem(f"{setting}={name}: there is such a file", f"give {setting}=<another>, or overwrite=true")]
    return []
