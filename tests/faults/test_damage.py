"""Files of a checkpoint cut off, or with a single bit flipped, anywhere: never read as if they were whole."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from metalstm.runs import checkpoint
from stress.torture.damage import a_checkpoint, flipped, truncated, undetected


def test_truncations(tmp_path: Path) -> None:
    assert undetected(a_checkpoint(tmp_path), truncated, 100, random.Random("truncations")) == []


def test_flipped_bits(tmp_path: Path) -> None:
    assert undetected(a_checkpoint(tmp_path), flipped, 1000, random.Random("flips")) == []


@pytest.mark.parametrize("damage", [truncated, flipped])
def test_damage_is_done_to_every_file_and_undone(damage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = a_checkpoint(tmp_path)
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    damaged = []

    def trusting(folder: Path, device: torch.device) -> None:
        damaged.extend(file.name for file in folder.iterdir() if file.read_bytes() != before[file.name])

    monkeypatch.setattr(checkpoint, "read", trusting)
    assert len(undetected(path, damage, 50, random.Random(0))) == 50
    assert len(damaged) == 50
    assert set(damaged) == set(before)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
