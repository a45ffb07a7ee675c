"""Runs without figures, which take longer than the rest of a tiny run; one that is over, to be damaged and resumed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metalstm.reporting.figures.draw_adaptation_curve", lambda result, path: False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a finished run is kept; tests change copies of it."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def run(trained: Path, in_process: Any, tiny: Any, only_run: Any, tmp_path: Path) -> Path:
    if not any(trained.iterdir()):
        given = tiny(scratch_tasks=0, outer_schedule="constant")
        assert in_process("train", *given, f"output_dir={trained}").code == 0
    path = tmp_path / "run"
    shutil.copytree(only_run(trained), path)
    return path


@pytest.fixture
def resume(run: Path, in_process: Any) -> Callable[..., Any]:
    def again(*arguments: str) -> Any:
        return in_process("train", f"resume={run}", *arguments)

    return again
