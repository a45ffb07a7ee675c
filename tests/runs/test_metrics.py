"""`metrics.jsonl` holds what two equal runs agree on, and nothing past the checkpoint that a run goes on from."""

from __future__ import annotations

import json
import resource
import tracemalloc
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from metalstm.errors import CheckpointError
from metalstm.runs import metrics as metrics_module
from metalstm.runs.metrics import LONGEST, TAIL, Mark, MetricsFile, Records, last_records


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


def marked(path: Path, last: int, size: bool = True) -> Mark:
    """Writes a run of ten steps with a validation every five; gives the mark of its checkpoint after a step."""
    path.unlink(missing_ok=True)
    metrics = MetricsFile(path, 0)
    found = Mark(0)
    for step in range(1, 11):
        metrics.record(step, "meta_train", {"loss": step / 3})
        if step % 5 == 0:
            metrics.record(step, "meta_validation", {"accuracy": 0.5, "accuracy_ci95": 0.1})
        if step == last:
            found = Mark.of({"step": step, "validated": step - step % 5, **metrics.state()})
    metrics.close()
    return found if size else Mark(found.lines, found.last)


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_bytes().splitlines()]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Receives the warnings."""
    found: list[str] = []
    monkeypatch.setattr(metrics_module.log, "warning", lambda text, *values: found.append(text % values))
    return found


@pytest.mark.parametrize("size", [True, False])
def test_what_is_as_it_was_is_cut_back_without_a_word(size: bool, path: Path, said: list[str]) -> None:
    mark = marked(path, 7, size)
    inode = path.stat().st_ino
    metrics = MetricsFile(path, mark)
    assert (steps(path), said, path.stat().st_ino) == ([1, 2, 3, 4, 5, 5, 6, 7], [], inode)
    assert (metrics.lines, metrics.size) == (8, path.stat().st_size)
    metrics.record(8, "meta_train", {"loss": 8 / 3})
    assert metrics.state() == {
        "metrics_lines": 9,
        "metrics_bytes": path.stat().st_size,
        "metrics_crc32": marked(path, 8).checksum,
    }


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "not UTF-8": lambda line: b"\xff\xfe" + line,
    "NUL bytes": lambda line: bytes(len(line) - 1) + b"\n",
    "half a line": lambda line: line[:9] + b"\n",
    "no end": lambda line: line[:9],
    "no mapping": lambda line: b"[3]\n",
    "no step": lambda line: b'{"meta_train/loss": 1.0}\n',
    "a text": lambda line: b'{"step": 3, "meta_train/loss": "x"}\n',
    "a step that is none": lambda line: b'{"step": true}\n',
    "in UTF-16": lambda line: line.decode().rstrip().encode("utf-16") + b"\n",
    "huge": lambda line: b"[" * (3 * LONGEST) + b"\n",
    "a number that is no float": lambda line: b'{"step": 3, "meta_train/loss": 1' + b"0" * 400 + b"}\n",
    "far too early": lambda line: b'{"step": 7, "meta_train/loss": 1.0}\n',
    "gone": lambda line: b"",
}


@pytest.mark.parametrize("size", [True, False])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_line_is_left_out_and_said(damage: str, size: bool, path: Path, said: list[str]) -> None:
    mark = marked(path, 7, size)
    kept = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*kept[:2], DAMAGE[damage](kept[2]), *kept[3:]]))
    metrics = MetricsFile(path, mark)
    assert [one for one in steps(path) if one not in (3, 4)] == [1, 2, 5, 5, 6, 7]
    assert said == [f"{path} has changed since its checkpoint: {metrics.lines} of 8 lines are whole and kept"]
    assert list(path.parent.iterdir()) == [path]


def test_lines_that_are_there_again(path: Path, said: list[str]) -> None:
    mark = marked(path, 7)
    kept = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*kept[:4], *kept[1:]]))
    MetricsFile(path, mark)
    assert steps(path) == [1, 2, 3, 4, 5, 5, 6, 7]
    assert len(said) == 1


def test_a_validation_that_will_be_done_again_goes(path: Path) -> None:
    """Stopped between a step and its validation: the checkpoint has the one and not the other."""
    marked(path, 10)
    path.write_bytes(b"x\n" + path.read_bytes())
    MetricsFile(path, Mark.of({"step": 5, "validated": 0, "metrics_lines": 6, "metrics_bytes": 1}))
    assert steps(path) == [1, 2, 3, 4, 5]


def test_a_file_that_is_gone(path: Path, said: list[str]) -> None:
    mark = marked(path, 7)
    path.unlink()
    metrics = MetricsFile(path, mark)
    assert said == [f"{path} is gone, and 8 lines with it; it goes on from here"]
    assert (metrics.state()["metrics_lines"], path.read_bytes()) == (0, b"")


def test_all_who_read_leave_damage_out(path: Path) -> None:
    marked(path, 7)
    whole = list(Records(path.parent))
    path.write_bytes(b"\x00\n" + path.read_bytes() + b'{"step": 11}x\n{"step": 12')
    assert list(Records(path.parent)) == whole
    assert last_records(path.parent)[-1]["step"] == 10
    path.write_bytes(path.read_bytes() + bytes(2 * TAIL))
    assert last_records(path.parent) == []


def test_a_long_file_is_not_read_line_by_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = b'{"step": 1, "meta_train/loss": 0.25, "meta_train/accuracy": 0.5}\n'
    path.write_bytes(line * 10**6)
    mark = Mark(10**6, (1, "meta_train"), len(line) * 10**6, metrics_module.checksum(path, len(line) * 10**6) or 0)
    monkeypatch.setattr(metrics_module, "parsed", lambda line: pytest.fail("read"))
    tracemalloc.start()
    MetricsFile(path, mark).close()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2**20
    assert path.stat().st_size == len(line) * 10**6


def test_records_are_read_when_they_are_asked_for(path: Path) -> None:
    mark = marked(path, 7)
    first: list[Any] = list(islice(Records(path.parent), 2))
    assert [record["step"] for record in first] == [1, 2]
    assert [record["step"] for record in Records(path.parent, mark.size)] == [1, 2, 3, 4, 5, 5, 6, 7]
