"""Sweeps by launchers: the same directories, failures and summary as without one."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from metalstm.config.compose import composed
from support.commands import tiny
from support.places import CONFIGS

LAUNCHERS = {
    "cores": ("hydra/launcher=cores", "hydra.launcher.n_jobs=2"),
    "slurm": ("hydra/launcher=submitit_local",),  # what submitit has in place of a cluster
    "cluster": ("hydra/launcher=cluster", "hydra.launcher.ray.init.num_cpus=2"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cores", "slurm", pytest.param("cluster", marks=pytest.mark.long)])
def test_one_fails_and_one_does_not(name: str, process: Any, tmp_path: Path) -> None:
    given = [*tiny(steps=2, scratch_tasks=0, threads=1, test_tasks=4), "learner.learned_rates=none"]
    given += ["model.layer_norm=true", "outer_lr=1e+20,0.001"]  # the first one diverges
    ended = process("metalstm-train", "-m", *given, *LAUNCHERS[name], cwd=tmp_path)
    assert ended.code == 5, ended.err
    assert "job 0 (dataset.classes=36 " in ended.err
    assert "error: maml: the " in ended.err
    (path,) = (tmp_path / "outputs" / "sweeps").iterdir()
    assert list(path.rglob("result.json")) == [path / "outer_lr-0.001" / "result.json"]
    with open(path / "summary.csv", encoding="utf-8", newline="") as file:
        failed, good = csv.DictReader(file)
    assert failed["failed"].startswith("outer_lr-1e+20: maml: the ")
    assert (good["metric"], good["seeds"], good["failed"]) == ("accuracy", "1", "")

    # The launcher is not of what the sweep is: without one it goes on with the same jobs.
    again = process("metalstm-train", "-m", *given, cwd=tmp_path)
    assert again.code == 5
    assert "jobs      2: 1 over, 1 half done" in again.out
    assert len(list((tmp_path / "outputs" / "sweeps").iterdir())) == 1


def test_every_launcher_has_its_config() -> None:
    folder = CONFIGS / "hydra" / "launcher"
    assert {path.stem for path in folder.glob("*.yaml")} == set(LAUNCHERS)


@pytest.mark.parametrize("name", ["cores", "slurm"])
def test_configs_compose(name: str) -> None:
    assert composed("train", [f"hydra/launcher={name}"]).ways == 5


def test_a_launcher_that_cannot_start_is_said_to(in_process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")  # no srun
    ended = in_process("train", "-m", "seed=0,1", "hydra/launcher=slurm")
    assert ended.code == 1
    assert ended.err.startswith("error: the launcher failed: ")
    assert ended.out.count("it has no result") == 2
