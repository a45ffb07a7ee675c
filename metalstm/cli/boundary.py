"""The frame of every command: errors in one block, and the one place where what takes its time is imported.

Exit codes: 2 config, 3 data, 4 checkpoint, 5 diverged, 6 another process of the run lost, 129, 130 and 143
interrupted; `METALSTM_DEBUG=1` shows tracebacks.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from metalstm.errors import ConfigError, MetalstmError, complain, unusable
from metalstm.runtime.screen import prepare


def lazily(path: str) -> Callable[..., Any]:
    """Import `module:function`, and all that it needs; the one lazy boundary of a command."""
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


@contextmanager
def ending_with_errors() -> Iterator[None]:
    """A context for a whole command: what a person can mend is shown, and ends the process with its exit code."""
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
