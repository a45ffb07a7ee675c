"""What all tests share: real data, and the two commands, run in this process or in one of their own."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported, here and in the processes that tests start

import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

# A run of a second or two: 24 classes for meta-training, 3 for meta-validation, 9 for meta-test.
TINY = {
    "dataset.classes": 36,
    "model.hidden_size": 8,
    "learner.inner_steps": 2,
    "ways": 3,
    "queries": 2,
    "train_queries": 2,
    "steps": 6,
    "meta_batch_size": 2,
    "validate_every": 3,
    "validation_tasks": 4,
    "checkpoint_every": 2,
    "log_every": 2,
    "test_tasks": 6,
    "scratch_tasks": 2,
    "scratch_steps": 2,
}


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """A function from a dataset's name to the folder with its real files; skips the test where there is none.

    The files are looked for in `$METALSTM_DATA`, or else in `shared/data` beside the repository.
    """
    root = Path(os.environ.get("METALSTM_DATA") or Path(__file__).parents[2] / "shared" / "data")

    def folder(name: str) -> Path:
        if not (root / name).is_dir():
            pytest.skip(f"no real data in {root / name}; METALSTM_DATA may name another folder")
        return root / name

    return folder


@pytest.fixture(scope="session")
def cifar100() -> Callable[..., dict[str, dict[str, Any]]]:
    """A function that makes the contents of CIFAR-100's three files, with few images: `cifar100(train=3, test=2)`."""
    import numpy as np

    from metalstm.datasets.images.cifar_fs import CLASSES

    def contents(train: int = 3, test: int = 2) -> dict[str, dict[str, Any]]:
        random = np.random.default_rng(0)
        names = sorted(name for chosen in CLASSES.values() for name in chosen)
        made: dict[str, dict[str, Any]] = {"meta": {"fine_label_names": names, "coarse_label_names": ["all"]}}
        for part, count in (("train", train), ("test", test)):
            labels = random.permutation(100 * count) % 100
            data = random.integers(0, 256, (100 * count, 3072), dtype=np.uint8)
            made[part] = {"data": data, "fine_labels": labels.tolist(), "coarse_labels": [0] * len(data)}
            made[part] |= {"filenames": ["x.png"] * len(data), "batch_label": f"{part}ing batch 1 of 1"}
        return made

    return contents


@pytest.fixture(scope="session")
def python2_pickle() -> Callable[[Any], bytes]:
    """A function that pickles lists, mappings, texts, numbers and arrays of bytes as Python 2 did CIFAR-100."""
    import numpy as np

    def opcodes(value: Any) -> bytes:
        if isinstance(value, dict):
            return b"}(" + b"".join(opcodes(item) for pair in value.items() for item in pair) + b"u"
        if isinstance(value, list):
            return b"](" + b"".join(map(opcodes, value)) + b"e"
        if isinstance(value, np.ndarray):
            kind = value.dtype.str[1:]
            begin = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01("
            array_type = b"tcnumpy\ndtype\n(" + opcodes(kind) + b"K\x00K\x01tR(K\x03U\x01|NNN"
            array_type += opcodes(-1) * 2 + b"K\x00tb"
            order = b"\x88" if value.flags.fnc else b"\x89"
            return (
                begin + b"".join(map(opcodes, value.shape)) + array_type + order + opcodes(value.tobytes("A")) + b"tb"
            )
        if isinstance(value, int):
            return b"J" + struct.pack("<i", value)
        text = value.encode("latin1") if isinstance(value, str) else value
        return b"T" + struct.pack("<i", len(text)) + text

    return lambda value: b"\x80\x02" + opcodes(value) + b"."


@pytest.fixture(scope="session")
def tiny() -> Callable[..., list[str]]:
    """The settings of a tiny run as overrides; `tiny(steps=9, **{"dataset.classes": None})` changes or drops some."""

    def overrides(**changes: Any) -> list[str]:
        return [f"{name}={value}" for name, value in (TINY | changes).items() if value is not None]

    return overrides


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


@pytest.fixture(scope="session")
def only_run() -> Callable[[Path], Path]:
    """The one run directory somewhere under a folder."""

    def find(folder: Path) -> Path:
        (config,) = folder.rglob("config.yaml")
        return config.parent

    return find


@pytest.fixture(scope="session")
def result_of() -> Callable[[Path], dict[str, Any]]:
    """The content of `result.json` in a run directory."""

    def read(path: Path) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((path / "result.json").read_text(encoding="utf-8"))
        return content

    return read


@pytest.fixture(scope="module")
def kept_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a module's `finished_runs` are kept."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def finished_runs(
    kept_runs: Path, in_process: Any, only_run: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
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
