"""The frame of every command: errors in one block, and the one place where what takes its time is imported.

Exit codes: 2 config, 3 data, 4 checkpoint, 5 diverged, 6 another process of the run lost, 129, 130 and 143
interrupted; `METALSTM_DEBUG=1` shows tracebacks.
"""

from __future__ import annotations

import argparse
import importlib
import operator
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from metalstm.errors import ConfigError, MetalstmError, complain, unusable
from metalstm.runtime.screen import prepare


def lazily(path: str) -> Callable[..., Any]:
    """Import `module:function`, and all that it needs; the one lazy boundary of a command."""
    module, _, name = path.partition(":")
    function: Callable[..., Any] = operator.attrgetter(name)(importlib.import_module(module))
    return function


@contextmanager
def ending_with_errors() -> Iterator[None]:
    """Open a context for a whole command: what a person can mend is shown, and ends the process with its exit code."""
    prepare()
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except MetalstmError as error:
        complain(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # before a run heeds it: nothing has been begun
        sys.exit(130)
    except OSError as error:  # of a table or a help text: a run's screen does not fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries once more as it ends
        if isinstance(error, BrokenPipeError):  # who reads the output, such as `head`, has had enough
            sys.exit(128 + signal.SIGPIPE)
        complain(unusable(error))
        sys.exit(ConfigError.exit_code)


def version_option(parser: argparse.ArgumentParser) -> None:
    """Give a parser `--version`, which says this package's; in place of another's, if it has one."""
    said = f"metalstm {version('metalstm')}, torch {version('torch')}"
    existing = next((action for action in parser._actions if "--version" in action.option_strings), None)
    if existing is None:
        parser.add_argument("--version", action="version", version=said)
    else:
        setattr(existing, "version", said)  # noqa: B010 - an attribute of this kind of action alone
