"""The example through every command: train, stop, resume, sweep, search, test, adapt, report, and in Python."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

SMALL = [
    *("validation_tasks=10", "test_tasks=20", "scratch_tasks=4", "scratch_steps=4"),
    *("threads=1", "meta_batch_size=2", "outer_lr=1e-2"),
]
LONG, SHORT = ["steps=100", "validate_every=50"], ["steps=4", "validate_every=4"]
MINE = ["learner=example_nearest", "model=example_gru", "dataset=example_tones"]


def command(name: str, *given: str) -> str:
    """What an installed command prints, in the working directory."""
    program = [str(Path(sys.executable).with_name(f"metalstm-{name}")), *given]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example")
    command("train", *MINE, *SMALL, *LONG, f"output_dir={folder}")
    (result,) = folder.rglob("result.json")
    return result.parent


def test_it_learns(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    assert (result["learner"], result["dataset"]) == ("example_nearest", "example_tones")
    assert result["value"] > 0.5 > result["curve"][0]["value"]  # of 5 ways


def test_resumed_and_tested_again(run: Path) -> None:
    assert "changed: steps from 100 to 110" in command("train", f"resume={run}", "steps=110")
    assert "example_nearest" in command("test", f"run={run}", "tasks=10")


def test_killed_and_gone_on_with(tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name("metalstm-train"))
    given = [*MINE, *SMALL, "steps=2000", "checkpoint_every=5", f"output_dir={tmp_path}"]
    with subprocess.Popen([program, *given], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while not list(tmp_path.glob("*/*/checkpoints/step_*/state.pt")):
            assert running.poll() is None
            time.sleep(0.05)
        running.kill()
    (config,) = tmp_path.rglob("config.yaml")
    said = command("train", f"resume={config.parent}", "steps=2010", "--check")
    assert "all is in order" in said
    assert list(tmp_path.rglob("result.json")) == []


@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=cores"]], ids=["one_by_one", "cores"])
def test_a_sweep(launcher: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = [*MINE, *SMALL, *SHORT, "seed=0,1", *launcher]
    assert "jobs      2" in command("train", "-m", *given)
    assert len(list(tmp_path.rglob("result.json"))) == 2


def test_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    given = [*MINE, *SMALL, *SHORT, "learner.scale=interval(5.0,50.0)", "trials=2"]
    assert "learner.scale" in command("search", *given)


def test_maml_of_the_model(tmp_path: Path) -> None:
    given = [*MINE[1:], "learner=maml", *SMALL, "steps=2", "scratch_tasks=0", f"output_dir={tmp_path}"]
    assert "example_gru as its model" in command("train", *given)


def test_adapted_to_files(run: Path, tmp_path: Path) -> None:
    steps, random = np.arange(40), np.random.default_rng(0)
    for label, frequency in (("low", 0.35), ("high", 1.6)):
        for part, number in (("support", 3), ("query", 5)):
            folder = tmp_path / part / label
            folder.mkdir(parents=True)
            for each in range(number):
                np.save(folder / f"{each}.npy", np.sin(frequency * steps) + 0.1 * random.standard_normal(40))
    given = [f"{part}={tmp_path / part}" for part in ("support", "query")]
    command("adapt", f"run={run}", *given, f"out={tmp_path / 'said.json'}")
    said = json.loads((tmp_path / "said.json").read_text())
    assert (said["accuracy"]["correct"], said["accuracy"]["of"]) == (10, 10)


def test_reported_and_listed(run: Path, tmp_path: Path) -> None:
    assert "example_nearest" in command("report", str(run))
    assert "example_tones" in command("runs", str(run.parents[1]))
    assert "The nearest class mean," in command("train", "--help")


def test_in_python(run: Path) -> None:
    import metalstm

    trained = metalstm.load(run)
    assert "example_nearest" in repr(trained)
