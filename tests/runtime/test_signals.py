"""Stopped by a signal: a checkpoint at the next step boundary, an exit code of its own, and a run to go on with."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from metalstm.errors import Interrupted
from metalstm.runs.checkpoint import Checkpoints
from metalstm.runtime.signals import Interruption
from metalstm.sweeps.launch import stopped_by_signals
from support.commands import only_run, result_of, tiny

pytestmark = pytest.mark.usefixtures("no_figures")

CPU = torch.device("cpu")


def newest(run: Path) -> Any:
    return Checkpoints(run / "checkpoints", 1).newest("step", CPU)


def weights(run: Path) -> list[torch.Tensor]:
    return list(newest(run).state["learner"].values())


def assert_same_run(one: Path, other: Path) -> None:
    for key in ("step", "validated", "best", "metrics_lines"):
        assert newest(one).state[key] == newest(other).state[key], key
    assert all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    for key in ("value", "curve", "protocol"):
        assert result_of(one)[key] == result_of(other)[key]


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int, int], Callable[[], None]]:
    """Sends this process a signal just before a function is called for the `count`-th time; returns what undoes it."""

    def prepare(function: str, count: int, number: int) -> Callable[[], None]:
        module, _, name = function.rpartition(".")
        home = importlib.import_module(module)
        real = getattr(home, name)
        calls: list[None] = []

        def counted(*given: Any, **named: Any) -> Any:
            calls.append(None)
            if len(calls) == count:
                os.kill(os.getpid(), number)
            return real(*given, **named)

        monkeypatch.setattr(home, name, counted)
        return lambda: monkeypatch.setattr(home, name, real)

    return prepare


@pytest.mark.parametrize(
    ("function", "count", "number", "step"),
    [
        ("metalstm.learners.inner_loop.batched.task_loss", 5, signal.SIGTERM, 3),  # in the inner loop, of two steps
        ("metalstm.learners.inner_loop.batched.task_loss", 1, signal.SIGINT, 1),
        ("metalstm.training.meta_trainer.meta_evaluate", 1, signal.SIGUSR1, 3),
        ("metalstm.training.meta_trainer.meta_evaluate", 2, signal.SIGUSR2, 6),
        ("metalstm.evaluation.meta_test.meta_evaluate", 1, signal.SIGTERM, 6),
        ("metalstm.evaluation.baselines.meta_evaluate", 2, signal.SIGINT, 6),
    ],
)
def test_stopped_and_resumed(
    function: str,
    count: int,
    number: int,
    step: int,
    signalled: Any,
    in_process: Any,
) -> None:
    given = tiny(checkpoint_every=4, scratch_tasks=2 if "baselines" in function else 0)
    assert in_process("train", *given, "output_dir=whole").code == 0
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    undo = signalled(function, count, number)
    ended = in_process("train", *given, "output_dir=stopped")
    undo()
    assert ended.code == (130 if number == signal.SIGINT else 143)
    assert f"by {signal.Signals(number).name}" in ended.err or "meta-test was stopped by" in ended.err
    assert "resume=" in ended.err
    assert "Traceback" not in ended.err
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)] == handlers
    stopped = only_run(Path("stopped"))
    assert newest(stopped).step == step
    assert in_process("train", f"resume={stopped}").code == 0
    assert_same_run(only_run(Path("whole")), stopped)


def test_before_the_first_step(
    signalled: Any,
    in_process: Any,
) -> None:
    signalled("metalstm.experiment.identity.write_config", 1, signal.SIGTERM)
    ended = in_process("train", *tiny(scratch_tasks=0))
    assert ended.code == 143
    assert ended.err.startswith("error: stopped after step 0 by SIGTERM\n  fix: ")
    run = only_run(Path())
    assert not (run / "checkpoints").exists()
    assert in_process("train", f"resume={run}").code == 0


def test_the_meta_test_command_stops(
    signalled: Any,
    in_process: Any,
) -> None:
    assert in_process("train", *tiny(scratch_tasks=0)).code == 0
    signalled("metalstm.evaluation.meta_test.meta_evaluate", 1, signal.SIGINT)
    ended = in_process("test", f"run={only_run(Path())}", "tasks=4")
    assert ended.code == 130
    assert ended.err.startswith("error: the meta-test was stopped by SIGINT")


def test_a_second_ctrl_c_changes_nothing() -> None:
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted, match="stopped by SIGTERM") as caught:
            interruption.raise_if_interrupted("stopped", "go on")
    assert caught.value.exit_code == 143


LONGER = {"steps": 60, "validate_every": 20, "scratch_tasks": 0, "test_tasks": 4}


@pytest.fixture(scope="module")
def whole(process: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    ended = process("metalstm-train", *tiny(**LONGER), cwd=folder)
    assert ended.code == 0, ended.err
    path: Path = only_run(folder)
    return path


def saved_past_ten(folder: Path) -> bool:
    """Whether a checkpoint of step 10 to 19 is there; older ones go while this looks."""
    try:
        return any(folder.rglob("step_0000001?/manifest.json"))
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_real_process(number: int, start: Any, process: Any, tmp_path: Path, whole: Path) -> None:
    given = tiny(**LONGER)
    running: subprocess.Popen[str] = start("metalstm-train", *given, "output_dir=stopped", cwd=tmp_path)
    give_up = time.monotonic() + 120
    while not saved_past_ten(tmp_path):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < give_up
        time.sleep(0.005)
    running.send_signal(number)
    _, err = running.communicate(timeout=60)
    assert running.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[signal.Signals(number)]
    assert "Traceback" not in err
    stopped = only_run(tmp_path / "stopped")
    assert not (stopped / "result.json").exists()
    ended = process("metalstm-train", f"resume={stopped}", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert_same_run(whole, stopped)


def test_a_hang_up_has_an_exit_code_of_its_own() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(Interrupted, match="stopped by SIGHUP") as caught:
            interruption.raise_if_interrupted("stopped", "go on")
    assert caught.value.exit_code == 129
    assert signal.getsignal(signal.SIGHUP) == before


def test_a_hang_up_that_was_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interruption.requested is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_hang_up_stops_what_a_launcher_runs() -> None:
    with pytest.raises(Interrupted, match="the sweep was stopped by SIGHUP") as caught, stopped_by_signals():
        os.kill(os.getpid(), signal.SIGHUP)
    assert caught.value.exit_code == 129
