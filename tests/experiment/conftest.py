"""A run that is over, to be damaged and resumed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.commands import only_run, tiny


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a finished run is kept; tests change copies of it."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def run(trained: Path, in_process: Any, tmp_path: Path) -> Path:
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
