"""The process that has started this one, where it is not to be outlived: a sweep's."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

SWEEP = "METALSTM_SWEEP"  # set for a job: the process that it must not outlive
PR_SET_PDEATHSIG = 1  # of Linux's prctl


def end_with_sweep() -> None:
    """Ask for a SIGTERM when the sweep's process is gone, however that ended; for a job of a sweep alone."""
    sweep = os.environ.pop(SWEEP, None)
    if sweep is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(sweep):  # gone before this could be asked for
        sys.exit(128 + signal.SIGTERM)
