"""How much memory the work at hand may take: a budget of the whole process, as its number of threads is.

It decides how many tasks, or sequences, are held at a time; what is computed is the same whatever it is.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import torch

MIB = 2**20
# On a CPU more at a time is no faster: caches are smaller. A budget that does not grow with the machine also cuts the
# work up in the same way on most of them.
MOST_ON_A_CPU = 2**31
# The rest is for the holes that freed memory leaves between what is held.
USABLE = 0.7
UNLIMITED = 2**60  # a cgroup of version 1 without a limit has a number of about this size


class Budget:
    """The bytes that the tensors of the work at hand may take, of all that a budget has; None: any number."""

    def __init__(self) -> None:
        self.limit: int | None = None

    def allows(self, size: int) -> bool:
        """Whether so many bytes are within it."""
        return self.limit is None or size <= self.limit

    def share(self, count: int, size: int) -> int:
        """How many of `count` things, which take `size` bytes together, it holds: one at least."""
        return count if self.limit is None else max(1, min(count, count * self.limit // max(1, size)))


BUDGET = Budget()


def usable(memory: int) -> int:
    """Return the part of so many bytes that tensors may take."""
    return int(USABLE * memory)


def needed(tensors: int) -> int:
    """Return the bytes of which so many are usable."""
    return int(tensors / USABLE) + 1


def default_limit(device: torch.device) -> int:
    """Return a budget that leaves as much free again, and more on a CPU with much memory."""
    if device.type == "cuda":
        return 3 * torch.cuda.mem_get_info(device)[0] // 4
    on_this_host = max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))  # of `torchrun`
    return min(free_memory() // on_this_host // 2, MOST_ON_A_CPU)


def free_memory(root: Path = Path("/")) -> int:
    """Return the bytes that this process can still take: of the machine, of its control groups and of `ulimit -v`."""
    return max(0, min([*free_of_machine(root), *free_of_cgroups(root), *free_of_process(root)], default=MOST_ON_A_CPU))


def free_of_machine(root: Path) -> Iterator[int]:
    """Yield what the kernel says is available; elsewhere half of what is built in."""
    available = fields_of(root / "proc/meminfo").get("MemAvailable:")
    if available is not None:
        yield available * 2**10
    elif root == Path("/") and "SC_PHYS_PAGES" in os.sysconf_names:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def free_of_cgroups(root: Path) -> Iterator[int]:
    """Yield what each control group of this process has left, of version 2 or 1; its file cache can be taken."""
    for line in text_of(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        version_2 = controllers == ""
        top = root / "sys/fs/cgroup" / ("" if version_2 else "memory")
        names = ("memory.max", "memory.current") if version_2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
        cached = "inactive_file" if version_2 else "total_inactive_file"
        inner = top / path.lstrip("/")
        for folder in (inner, *inner.parents):  # in a container the path may be that of its host
            limit, used = (text_of(folder / name).strip() for name in names)
            if limit.isdigit() and used.isdigit() and int(limit) < UNLIMITED:
                yield int(limit) - int(used) + fields_of(folder / "memory.stat").get(cached, 0)
            if folder == top:
                break


def free_of_process(root: Path) -> Iterator[int]:
    """Yield what `ulimit -v` leaves."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = text_of(root / "proc/self/statm").split()
    if limit != resource.RLIM_INFINITY and pages:
        yield limit - int(pages[0]) * resource.getpagesize()


def fields_of(file: Path) -> dict[str, int]:
    """Return the numbers of a file of lines that are a name and a number."""
    lines = (line.split() for line in text_of(file).splitlines())
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}


def text_of(file: Path) -> str:
    """Return what a file of the system says; empty where there is none."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""
