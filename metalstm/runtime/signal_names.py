"""The signals that ask a command to stop."""

from __future__ import annotations

import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
BY_NAME = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # that have an exit code of their own
STOPPED = tuple(128 + number for number in BY_NAME)  # exit codes of what was stopped and can be gone on with


def handled() -> list[signal.Signals]:
    """Return the signals to heed: not a hang-up that was ignored from the start, as by `nohup`."""
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in SIGNALS if not (ignored and number == signal.SIGHUP)]
