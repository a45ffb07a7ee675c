"""The command line as Hydra reads it: settings, and flags before them such as `--config-dir`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def version_option(parser: argparse.ArgumentParser) -> None:
    """Give a parser `--version`, which says this package's; in place of another's, if it has one."""
    from importlib.metadata import version

    said = f"metalstm {version('metalstm')}, torch {version('torch')}"
    existing = next((action for action in parser._actions if "--version" in action.option_strings), None)
    if existing is None:
        parser.add_argument("--version", action="version", version=said)
    else:
        setattr(existing, "version", said)  # noqa: B010 - an attribute of this kind of action alone


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Read a command line; one that Hydra has no flags for ends the process, as usual."""
    from hydra._internal.utils import get_args_parser

    parser: argparse.ArgumentParser = get_args_parser()
    version_option(parser)
    return parser.parse_intermixed_args(arguments)  # settings may stand around flags


def config_flags(given: argparse.Namespace) -> tuple[str, ...]:
    """Give the flags that say where another process composes from."""
    from pathlib import Path

    folder = None if given.config_dir is None else Path(given.config_dir).absolute()
    flags = {"--config-dir": folder, "--config-name": given.config_name}
    return tuple(f"{flag}={value}" for flag, value in flags.items() if value is not None)
