"""The profile of a training step: its parts add up, and name where the time goes; and what two processes do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.places import SCRIPTS


def run_benchmark(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "bench", *arguments]
    done = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_parts_of_a_training_step_add_up(tmp_path: Path) -> None:
    run_benchmark("--training", "--quick", "--threads", "1", "--out", tmp_path)
    report = json.loads((tmp_path / "training.json").read_text())
    assert [row["setting"] for row in report["rows"]] == ["20w5s_t4", "5w1s_t32"]
    for row in report["rows"]:
        parts = dict(row["shares"])
        kernel = parts.pop("products and cells")
        assert set(parts) == {
            *("sampling", "adapting", "outer backward", "optimizer", "logging", "checkpoints", "loop")
        }
        assert sum(parts.values()) == pytest.approx(1)
        assert min(parts.values()) > -1e-3
        assert parts["adapting"] > 0.2 < parts["outer backward"]
        assert 0.5 < kernel < parts["adapting"] + parts["outer backward"]
        assert row["kept"] == pytest.approx(row["bare_s"] / row["step_s"])
        assert row["runs"] >= 2
    assert "| speed kept |" in (tmp_path / "training.md").read_text()


@pytest.mark.long
def test_one_process_and_two(tmp_path: Path) -> None:
    run_benchmark("--processes", "--quick", "--out", tmp_path)
    report = json.loads((tmp_path / "processes.json").read_text())
    assert [row["setting"] for row in report["rows"]] == ["20w5s_t4", "5w1s_t32"]
    for row in report["rows"]:
        assert row["efficiency"] == pytest.approx(row["one_step_s"] / row["two_step_s"] / 2)
        assert row["two_step_s"] > row["together_s"] > 0
        assert row["runs"] == report["rounds"] == 1
        assert row["drawing"]["whole_s"] > row["drawing"]["share_s"] > 0
    assert "| efficiency |" in (tmp_path / "processes.md").read_text()
