"""Several processes take the same outer steps as one, stop together, and end when one of them is gone."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from metalstm.runtime import heartbeat
from metalstm.runtime.heartbeat import MISSED, Heartbeat
from metalstm.runtime.processes import SINGLE, ProcessGroup
from support.commands import only_run, result_of, tiny
from support.places import REPOSITORY

pytestmark = pytest.mark.usefixtures("no_figures")

Start = Callable[..., list[subprocess.Popen[str]]]


@pytest.fixture
def start_two(cache_home: Path, tmp_path: Path) -> Iterator[Start]:
    """`start_two("-m", "metalstm.train", *arguments)`: two processes as `torchrun` starts them, without its imports.

    With `other` the second one runs something else.
    """
    started: list[subprocess.Popen[str]] = []

    def start(*program: str, other: list[str] | None = None) -> list[subprocess.Popen[str]]:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            port = str(listening.getsockname()[1])
        together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        for rank in "01":
            environment = {"RANK": rank, "LOCAL_RANK": rank, "XDG_CACHE_HOME": str(cache_home), "PYTHONUNBUFFERED": "1"}
            command = [sys.executable, *(program if rank == "0" or other is None else other)]
            environment = os.environ | together | environment
            started.append(subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **pipes))
        return started[-2:]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_for(condition: Callable[[], bool], running: list[subprocess.Popen[str]]) -> None:
    give_up = time.monotonic() + 300
    while not condition():
        assert all(process.poll() is None for process in running), [process.communicate() for process in running]
        assert time.monotonic() < give_up
        time.sleep(0.05)


def saved_at_least(folder: Path, step: int) -> Callable[[], bool]:
    return lambda: any(int(path.name[5:13]) >= step for path in folder.rglob("step_*") if path.exists())


def test_the_meta_gradient_of_every_learner(start_two: Start, tmp_path: Path) -> None:
    """Five tasks, two of them for the one and three for the other process."""
    from support.meta_gradients import TRAINED, meta_gradients

    running = start_two(str(REPOSITORY / "tests/support" / "meta_gradients.py"), str(tmp_path))
    wanted = meta_gradients(SINGLE)
    for process in running:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert out == err == ""
    found, found_by_other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert list(found) == TRAINED
    for name, (gradient, _) in wanted.items():
        assert gradient.norm() > 1e-4, name
        difference = (found[name][0] - gradient).norm() / gradient.norm()
        assert difference < 1e-5, (name, float(difference))
        assert all(torch.equal(*both) for both in zip(found[name], found_by_other[name], strict=True)), name


def test_a_run_of_two_is_that_of_one(start_two: Start, in_process: Any, tmp_path: Path) -> None:
    given = tiny(meta_batch_size=3)
    running = start_two("-m", "metalstm.train", *given, "output_dir=two")
    assert in_process("train", *given, "output_dir=one").code == 0
    (out, err), (out_of_other, err_of_other) = (process.communicate(timeout=300) for process in running)
    assert [process.returncode for process in running] == [0, 0], (err, err_of_other)
    assert "2 processes on cpu" in out
    assert "accuracy on 6 meta-test tasks" in out
    assert out_of_other == err_of_other == ""
    one, two = only_run(Path("one")), only_run(tmp_path / "two")
    lines = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (one, two)]
    for mine, other in zip(*lines, strict=True):
        assert mine == pytest.approx(other, rel=1e-4)
    assert result_of(one)["environment"].pop("processes") == 1
    assert result_of(two)["environment"].pop("processes") == 2
    assert result_of(two)["value"] == pytest.approx(result_of(one)["value"], abs=0.05)
    assert result_of(two)["baselines"] == result_of(one)["baselines"]  # no training before them: the same numbers
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()} | {"figures"}


def test_a_process_that_dies_ends_all_and_the_run_goes_on_with_one(
    start_two: Start, in_process: Any, tmp_path: Path
) -> None:
    given = tiny(steps=100_000, validate_every=100_000, log_every=1000, scratch_tasks=0)
    running = start_two("-m", "metalstm.train", *given, "output_dir=run")
    wait_for(saved_at_least(tmp_path, 4), running)
    killed = time.monotonic()
    running[1].kill()
    _, err = running[0].communicate(timeout=60)
    assert time.monotonic() - killed < 60
    assert running[0].returncode == 6
    assert err.startswith("error: process 0 of 2 has lost another one: ")
    assert err.count("\n") == 2
    run = only_run(tmp_path)
    assert f"\n  fix: see what ended it, and go on with resume={run.relative_to(tmp_path)}, with as many" in err
    steps = max(int(path.name[5:13]) for path in run.glob("checkpoints/step_*"))
    ended = in_process("train", f"resume={run}", f"steps={steps + 2}")
    assert ended.code == 0, ended.err
    assert "changed: processes from 2 to 1" in ended.out
    assert "warning: with another number of processes the run is no longer bit for bit" in ended.out
    assert result_of(run)["environment"]["processes"] == 1


@pytest.mark.long
def test_the_first_one_dies(start_two: Start, tmp_path: Path) -> None:
    """Also the store is gone, through which the processes speak; the other one says what happened."""
    running = start_two("-m", "metalstm.train", *tiny(steps=100_000, validate_every=100_000, log_every=1000))
    wait_for(saved_at_least(tmp_path, 2), running)
    running[0].kill()
    _, err = running[1].communicate(timeout=60)
    assert running[1].returncode == 6
    assert "error: process 1 of 2 has lost another one: " in err  # after a warning of torch's own, about the store


def test_a_signal_to_one_stops_all_at_one_step(start_two: Start, tmp_path: Path) -> None:
    given = tiny(steps=100_000, validate_every=100_000, scratch_tasks=0, log_every=1000)
    running = start_two("-m", "metalstm.train", *given)
    wait_for(saved_at_least(tmp_path, 2), running)
    running[1].send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [143, 143], said
    assert sorted(said)[0] == ""  # one of them says it for both
    assert sorted(said)[1].startswith("error: stopped after step ")
    assert "by SIGTERM" in sorted(said)[1]
    run = only_run(tmp_path)
    stopped_at = int(sorted(said)[1].split("step ")[1].split()[0])
    assert max(int(path.name[5:13]) for path in run.glob("checkpoints/step_*")) == stopped_at
    assert len((run / "metrics.jsonl").read_text().splitlines()) == stopped_at


@pytest.mark.long
def test_what_is_refused_is_said_once(start_two: Start, tmp_path: Path) -> None:
    running = start_two("-m", "metalstm.train", *tiny(meta_batch_size=1))
    said = sorted(process.communicate(timeout=300)[1] for process in running)
    assert [process.returncode for process in running] == [2, 2]
    assert said == [
        "",
        "error: meta_batch_size=1, but each of 2 processes needs a task\n"
        "  fix: use meta_batch_size>=2, or start no more than 1\n",
    ]
    assert not list(tmp_path.iterdir())


def refused(running: list[subprocess.Popen[str]], code: int) -> str:
    """What two processes that cannot go together say: one of them, and both end."""
    nothing, said = sorted(process.communicate(timeout=300)[1] for process in running)
    assert [process.returncode for process in running] == [code, code], said
    assert nothing == ""
    return said


def test_other_settings_are_refused(start_two: Start, tmp_path: Path) -> None:
    train = ["-m", "metalstm.train"]
    running = start_two(*train, *tiny(), other=[*train, *tiny(steps=7, seed=3, **{"model.hidden_size": None})])
    said = refused(running, 2)
    assert "error: steps is not the same for all processes: 6 in process 0, 7 in process 1\n" in said
    assert "error: seed is not the same for all processes: 0 in process 0, 3 in process 1\n" in said
    assert "error: model.hidden_size is not the same for all processes: 8 in process 0, " in said
    assert said.count("error: ") == said.count("  fix: start all with the same settings\n") == 3
    assert not list(tmp_path.iterdir())


def test_what_the_first_one_refuses_is_said_by_it_alone(start_two: Start, tmp_path: Path) -> None:
    said = refused(start_two("-m", "metalstm.train", *tiny(scratch_tasks=7)), 2)
    assert said == "error: scratch_tasks=7, but there are test_tasks=6\n  fix: use scratch_tasks<=6\n"


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("data", 3, r"error: dataset 'glyphs' is .*: its fingerprint is \w{12} in process 0, \w{12} in process 1\n"),
        (
            "weights",
            2,
            r"error: the weights at the start are .*: their digest is \w{12} in process 0, \w{12} in process 1",
        ),
        ("versions", 2, r"error: torch is not the same for all processes: [2-9]\S* in process 0, 1.0 in process 1\n"),
    ],
)
def test_another_host_is_refused(start_two: Start, tmp_path: Path, what: str, code: int, said: str) -> None:
    other = [str(REPOSITORY / "tests/support" / "other_process.py"), what, *tiny()]
    message = refused(start_two("-m", "metalstm.train", *tiny(), other=other), code)
    assert re.match(said, message), message
    assert message.count("error: ") == message.count("\n  fix: ") == 1
    assert not list(tmp_path.iterdir())


def test_an_environment_that_is_not_whole(in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    ended = in_process("train", *tiny())
    assert ended.code == 2
    assert ended.err.startswith("error: WORLD_SIZE=2, but MASTER_ADDR, MASTER_PORT is not in the environment\n")


@pytest.mark.parametrize(("tasks", "count"), [(5, 2), (7, 3), (4, 4)])
def test_shares(tasks: int, count: int) -> None:
    """Every task is one process's, and all have as many, or one more."""
    numbers = list(range(tasks))
    shares = [numbers[ProcessGroup(rank, count, 0).shard(tasks)] for rank in range(count)]
    assert [number for share in shares for number in share] == numbers
    assert min(map(len, shares)) == tasks // count
    assert max(map(len, shares)) <= tasks // count + 1
    assert numbers[SINGLE.shard(tasks)] == numbers


def test_streams() -> None:
    """What is drawn for each task is not the same in two processes, and of the first one as if it were alone."""
    names = [ProcessGroup(rank, 3, rank).stream("learner") for rank in range(3)]
    assert len(set(names)) == 3
    assert names[0] == SINGLE.stream("learner")


class Store:
    """Of a process and another one, which beats or not; `gone`: it answers no more."""

    def __init__(self, alive: bool, gone: bool = False) -> None:
        self.values: dict[str, str] = {"beat/1": "0"}
        self.alive = alive
        self.gone = gone

    def clone(self) -> Store:
        return self

    def set(self, key: str, value: str) -> None:
        self.values[key] = value

    def multi_get(self, keys: list[str]) -> list[bytes]:
        if self.gone:
            time.sleep(60)
        if self.alive:
            self.values["beat/1"] += "1"
        return [self.values[key].encode() for key in keys]


@pytest.mark.parametrize(
    ("store", "ends"), [(Store(True), False), (Store(False), True), (Store(True, gone=True), True)]
)
def test_a_host_that_is_gone_without_a_word(
    store: Any, ends: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(heartbeat, "EVERY", 0.01)
    group = ProcessGroup(0, 2, 0)
    assert "resume=<this run's directory>," in group.remedy()  # lost before there is one
    group.run = Path("outputs/x")
    exits: list[int] = []
    beating = Heartbeat(store, 0, 2, group.remedy)

    def end(code: int) -> None:
        exits.append(code)
        beating.stop()

    monkeypatch.setattr(os, "_exit", end)
    beating.start()
    time.sleep(0.02 * MISSED + 0.3)
    beating.stop()
    assert exits == [6] * ends
    said = capsys.readouterr().err
    assert said.startswith("error: process 0 of 2 has not heard of process 1 for ") is ends
    assert ("go on with resume=outputs/x, with as many" in said) is ends
