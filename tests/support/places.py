"""Where things are: the repository, its scripts, its reference runs, and the real data beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SCRIPTS = REPOSITORY / "scripts"
CONFIGS = REPOSITORY / "configs"
REFERENCE = REPOSITORY / "outputs" / "reference"


def shared_data(name: str) -> Path:
    """The folder with a dataset's real files, in `$METALSTM_DATA` or `../shared/data`.

    Skips the test where there is none.
    """
    root = Path(os.environ.get("METALSTM_DATA") or REPOSITORY.parent / "shared" / "data")
    if not (root / name).is_dir():
        pytest.skip(f"no real data in {root / name}; METALSTM_DATA may name another folder")
    return root / name
