"""A process of its own that measures the peak memory of one system's step: `python -m bench.peak SYSTEM CASE THREADS`.

It prints, in MiB, the highest resident memory (`VmHWM`) during two steps less the resident memory (`VmRSS`) just before
them. By then the process has run a tiny problem through the same system, so that libraries and thread pools are not
counted, and holds the problem, the model and, of jax, the compiled program; memory that was freed on the way there has
been given back (`malloc_trim`), so that it cannot hide a part of the steps', and the high-water mark has been reset, so
that compiling does not show. Two steps, because what the first leaves behind (gradients, the allocator's reserves) is
part of every later step's peak.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from pathlib import Path

from bench.jax_worker import limit_to
from bench.problem import Case, make_problem
from bench.system import prepare_here

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_HIGH_WATER_MARK = "5"  # Linux, Documentation/filesystems/proc.rst


def main() -> None:
    name, case, threads = sys.argv[1], Case.from_json(sys.argv[2]), int(sys.argv[3])
    if name == "jax":
        limit_to(threads)
    prepare_here(name, make_problem(case.tiny()), threads).step()
    system = prepare_here(name, make_problem(case), threads)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = kib("VmRSS")
    CLEAR_REFS.write_text(RESET_HIGH_WATER_MARK)
    for _ in range(2):
        system.step()
    print((kib("VmHWM") - before) / 1024)


def kib(field: str) -> int:
    """A field of this process's status."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1])


if __name__ == "__main__":
    main()
