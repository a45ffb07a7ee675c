"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


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
