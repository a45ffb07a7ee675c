"""The memory budget: what a machine, its control groups and `ulimit -v` leave, from files as Linux has them."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

from metalstm.runtime import budget
from metalstm.runtime.budget import MIB, MOST_ON_A_CPU, Budget, default_limit, free_memory


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a machine with 800 MiB available."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    write(tmp_path, "proc/meminfo", f"MemTotal: 9999999 kB\nMemAvailable:  {800 * 1024} kB\n")
    return tmp_path


def write(root: Path, name: str, text: object) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(f"{text}\n")


def test_of_the_machine(machine: Path) -> None:
    assert free_memory(machine) == 800 * MIB


def test_a_group_of_version_2_with_its_file_cache(machine: Path) -> None:
    write(machine, "proc/self/cgroup", "0::/user/job")
    write(machine, "sys/fs/cgroup/user/job/memory.max", 500 * MIB)
    write(machine, "sys/fs/cgroup/user/job/memory.current", 300 * MIB)
    write(machine, "sys/fs/cgroup/user/job/memory.stat", f"anon 5\ninactive_file {100 * MIB}")
    assert free_memory(machine) == 300 * MIB


@pytest.mark.parametrize("folder", ["", "user"])
def test_a_limit_of_a_group_around_it(machine: Path, folder: str) -> None:
    write(machine, "proc/self/cgroup", "0::/user/job")
    write(machine, "sys/fs/cgroup/user/job/memory.max", "max")
    write(machine, f"sys/fs/cgroup/{folder}/memory.max", 500 * MIB)
    write(machine, f"sys/fs/cgroup/{folder}/memory.current", 400 * MIB)
    assert free_memory(machine) == 100 * MIB


@pytest.mark.parametrize(("limit", "free"), [(500 * MIB, 200 * MIB), (2**63 - 4096, 800 * MIB)])
def test_a_group_of_version_1(machine: Path, limit: int, free: int) -> None:
    write(machine, "proc/self/cgroup", "11:cpu:/job\n7:memory:/job\n0::/other")
    write(machine, "sys/fs/cgroup/memory/job/memory.limit_in_bytes", limit)
    write(machine, "sys/fs/cgroup/memory/job/memory.usage_in_bytes", 300 * MIB)
    assert free_memory(machine) == free


def test_more_used_than_there_may_be(machine: Path) -> None:
    write(machine, "proc/self/cgroup", "0::/")
    write(machine, "sys/fs/cgroup/memory.max", 300 * MIB)
    write(machine, "sys/fs/cgroup/memory.current", 301 * MIB)
    assert free_memory(machine) == 0


def test_of_ulimit(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (600 * MIB, 600 * MIB))
    write(machine, "proc/self/statm", f"{200 * MIB // resource.getpagesize()} 1 1 1 0 1 0")
    assert free_memory(machine) == 400 * MIB


def test_where_nothing_is_known(tmp_path: Path) -> None:
    assert free_memory(tmp_path) == MOST_ON_A_CPU


@pytest.mark.parametrize(
    ("free", "processes", "limit"), [(2**30, "1", 2**29), (2**30, "2", 2**28), (2**40, "1", 2**31)]
)
def test_the_default(free: int, processes: str, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "free_memory", lambda: free)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
    assert default_limit(torch.device("cpu")) == limit


@pytest.mark.parametrize(("limit", "held"), [(None, 8), (100, 8), (50, 4), (49, 3), (1, 1)])
def test_a_share(limit: int | None, held: int) -> None:
    some = Budget()
    some.limit = limit
    assert some.share(8, 100) == held
    assert some.allows(100) == (held == 8)
