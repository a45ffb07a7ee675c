"""`metrics.jsonl` holds what two equal runs agree on, and nothing past the checkpoint that a run goes on from."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest

from metalstm.errors import CheckpointError
from metalstm.run.metrics import MetricsFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def write(path: Path, steps: range, lines: int = 0) -> MetricsFile:
    metrics = MetricsFile(path, lines)
    for step in steps:
        metrics.record(step, "meta_train", {"loss": step / 3, "accuracy": 0.5})
    return metrics


def test_a_line_for_each_record(path: Path) -> None:
    metrics = write(path, range(1, 3))
    first, second = path.read_text(encoding="utf-8").splitlines()  # on its way to the disk before the file is closed
    assert json.loads(first) == {"step": 1, "meta_train/loss": 1 / 3, "meta_train/accuracy": 0.5}
    assert json.loads(second)["step"] == 2
    assert metrics.lines == 2
    metrics.sync()
    metrics.close()


def test_cut_back_to_the_checkpoint(path: Path) -> None:
    write(path, range(1, 6)).close()
    whole = path.read_bytes()
    write(path, range(4, 6), lines=3).close()
    assert path.read_bytes() == whole


def test_half_a_line_is_cut_off(path: Path) -> None:
    write(path, range(1, 4)).close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step": 4, "meta_tr')
    metrics = write(path, range(0), lines=3)
    assert metrics.lines == 3
    assert path.read_bytes() == whole


def test_a_new_run_starts_with_an_empty_file(path: Path) -> None:
    write(path, range(1, 4)).close()
    write(path, range(0)).close()
    assert path.read_bytes() == b""


def test_what_is_kept_is_never_rewritten(path: Path) -> None:
    write(path, range(1, 4)).close()
    inode = path.stat().st_ino
    write(path, range(0), lines=2).close()
    assert path.stat().st_ino == inode
    assert len(path.read_bytes().splitlines()) == 2


def test_no_room_for_a_line(path: Path) -> None:
    metrics = write(path, range(1, 3))
    whole = path.read_bytes()
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 5, unlimited[1]))
    try:
        with pytest.raises(CheckpointError, match=r"metrics\.jsonl could not be written: File too large\n  fix: make"):
            metrics.record(3, "meta_train", {"loss": 1.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    metrics.close()  # does not try again
    assert path.read_bytes() == whole + b'{"ste'
    write(path, range(3, 4), lines=metrics.lines).close()
    assert [json.loads(line)["step"] for line in path.read_bytes().splitlines()] == [1, 2, 3]
