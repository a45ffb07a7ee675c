"""What all tests share: the commands, run in this process or in one of their own."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported, here and in the processes that tests start

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.commands import Ended, only_run


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no curve, which takes longer than the rest of a tiny run."""
    monkeypatch.setattr("metalstm.reporting.figures.draw_adaptation_curve", lambda result, path: False)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are saved."""
    figure = pytest.importorskip("matplotlib.figure")
    real, saved = figure.Figure.savefig, []

    def savefig(self: Any, *given: Any, **named: Any) -> None:
        saved.append(self)
        real(self, *given, **named)

    monkeypatch.setattr(figure.Figure, "savefig", savefig)
    return saved


@pytest.fixture
def in_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Ended]]:
    """`in_process("train", *arguments)` runs a command here, in an empty working directory, and says how it ended."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    from metalstm.cli import adapt, test, train
    from metalstm.runs.logs import end_log
    from metalstm.runtime.budget import BUDGET

    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(BUDGET, "limit", None)  # to have it so after the test
    monkeypatch.delenv("METALSTM_DEBUG", raising=False)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # to have it as it was after the test

    def run(command: str, *arguments: str) -> Ended:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", [f"metalstm-{command}", *arguments])
        capsys.readouterr()
        code: Any = 0
        try:
            {"train": train.main, "test": test.main, "adapt": adapt.main}[command]()
        except SystemExit as error:
            code = error.code or 0
        finally:
            GlobalHydra.instance().clear()
            HydraConfig.instance().cfg = None
        return Ended(code, *capsys.readouterr())

    yield run
    end_log()


@pytest.fixture(scope="session")
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An `$XDG_CACHE_HOME` for the whole session, so that data is decoded once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def start(cache_home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`start("metalstm-train", *arguments, cwd=...)` starts an installed command in a process of its own."""
    started: list[subprocess.Popen[str]] = []
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("METALSTM", "HYDRA"))}
    environment["XDG_CACHE_HOME"] = str(cache_home)
    environment["PYTHONUNBUFFERED"] = "1"

    def popen(command: str, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
        program = [sys.executable] if command == "python" else [str(Path(sys.executable).with_name(command))]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        process = subprocess.Popen([*program, *arguments], cwd=cwd, env=environment, text=True, **pipes)
        started.append(process)
        return process

    yield popen
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def process(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., Ended]:
    """As `start`, and waits for the end."""

    def run(command: str, *arguments: str, cwd: Path) -> Ended:
        running = start(command, *arguments, cwd=cwd)
        out, err = running.communicate(timeout=600)
        return Ended(running.returncode, out, err)

    return run


@pytest.fixture(scope="module")
def kept_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a module's `finished_runs` are kept."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def finished_runs(
    kept_runs: Path, in_process: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[[dict[str, list[str]]], dict[str, Path]]:
    """Runs by name, of the command lines given; trained for the first test of a module, and only read by all."""

    def trained(wanted: dict[str, list[str]]) -> dict[str, Path]:
        if not any(kept_runs.iterdir()):
            monkeypatch.setattr("metalstm.reporting.figures.draw_adaptation_curve", lambda result, path: False)
            for name, given in wanted.items():
                ended = in_process("train", *given, f"output_dir={kept_runs / name}")
                assert ended.code == 0, ended.err
                assert f"report    {only_run(kept_runs / name) / 'report.html'}" in ended.out
        return {name: only_run(kept_runs / name) for name in wanted}

    return trained
