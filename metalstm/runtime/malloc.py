"""How the process keeps freed memory for the next step."""

from __future__ import annotations

import ctypes

# glibc's malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Keep large freed buffers for the next step, instead of handing them back to the system.

    By default glibc maps every large buffer anew, and the system clears it page by page: a quarter of the time of a
    second-order step. The process then holds on to the most memory that it ever needed.

    Returns:
        Whether it could be arranged: the C library must be glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))
