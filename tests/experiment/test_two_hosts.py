"""One run on two hosts, which are network namespaces with a wire between them. Needs root and `ip`; fails without."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import only_run, result_of, tiny

pytestmark = pytest.mark.long
ADDRESSES = ("10.77.0.1", "10.77.0.2")


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"network namespaces take root: ip {' '.join(arguments)}: {done.stderr}"


@pytest.fixture
def hosts() -> Iterator[tuple[str, str]]:
    """The names of the hosts; each has the interface `wire`."""
    names = (f"metalstm-{os.getpid()}-0", f"metalstm-{os.getpid()}-1")
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", "wire", "netns", names[0], "type", "veth", "peer", "name", "wire", "netns", names[1])
        for name, address in zip(names, ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "wire")
            for interface in ("lo", "wire"):
                ip("-n", name, "link", "set", interface, "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def torchrun(hosts: tuple[str, str], folder: Path, *arguments: str) -> list[subprocess.Popen[str]]:
    """One process on each host."""
    running = []
    for number, host in enumerate(hosts):
        command = [
            *("ip", "netns", "exec", host, sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=1"),
            *("--nnodes=2", f"--node-rank={number}", f"--master-addr={ADDRESSES[0]}", "--master-port=29577"),
            *("-m", "metalstm.train", *arguments),
        ]
        environment = os.environ | {"GLOO_SOCKET_IFNAME": "wire", "PYTHONUNBUFFERED": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        running.append(subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes))
    return running


def test_a_run(hosts: tuple[str, str], tmp_path: Path) -> None:
    running = torchrun(hosts, tmp_path, *tiny(meta_batch_size=3))
    said = [process.communicate(timeout=300) for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert "2 processes on cpu" in said[0][0]
    assert said[1][0] == ""
    assert result_of(only_run(tmp_path))["environment"]["processes"] == 2


def test_the_wire_is_cut(hosts: tuple[str, str], tmp_path: Path) -> None:
    """No connection is closed, and nobody says goodbye."""
    given = tiny(steps=100_000, validate_every=100_000, log_every=1000, scratch_tasks=0)
    running = torchrun(hosts, tmp_path, *given)
    give_up = time.monotonic() + 300
    while not list(tmp_path.rglob("step_*/manifest.json")):
        assert time.monotonic() < give_up
        assert all(process.poll() is None for process in running), [process.communicate() for process in running]
        time.sleep(0.1)
    ip("-n", hosts[0], "link", "set", "wire", "down")
    cut = time.monotonic()
    for rank, process in enumerate(running):
        _, err = process.communicate(timeout=120)
        assert time.monotonic() - cut < 60, err
        assert process.returncode != 0
        assert f"error: process {rank} of 2 has not heard of process {1 - rank} for 30 s" in err, err
