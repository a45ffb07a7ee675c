"""A real disk that is full when a checkpoint is to be saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from stress.torture.disk import NoMountError, filled_at_a_save, small_file_system
from stress.torture.workshop import Workshop


@pytest.mark.slow
def test_full_at_a_save(workshop: Workshop, tmp_path: Path) -> None:
    """The old checkpoints stay, nothing temporary is left, the error is clear; with room made the run goes on."""
    try:
        with small_file_system(tmp_path / "small") as small:
            run = workshop.new_run("maml", output_dir=small)
            assert filled_at_a_save(run, small / "filler", workshop.reference("maml")) == []
    except NoMountError as error:
        pytest.skip(str(error))
