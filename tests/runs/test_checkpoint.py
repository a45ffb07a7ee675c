"""Checkpoints are whole or not there, and are not trusted before they are checked."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from metalstm.errors import CheckpointError
from metalstm.runs import checkpoint
from metalstm.runs.checkpoint import BEST, LATEST, MANIFEST, STATE, Checkpoints, as_manifest, checksum, read

CPU = torch.device("cpu")


def state(step: int) -> dict[str, Any]:
    return {"step": step, "learner": {"w": torch.arange(5.0) + step}, "best": (1, 0.5), "seconds": 0.25, "none": None}


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", 2)


def names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir())


def test_read_back_as_it_was(checkpoints: Checkpoints) -> None:
    path = checkpoints.save(LATEST, 3, state(3))
    assert path.name == "step_00000003"
    found = checkpoints.newest(LATEST, CPU)
    assert found is not None
    assert (found.step, found.path) == (3, path)
    assert torch.equal(found.state["learner"].pop("w"), torch.arange(5.0) + 3)
    expected = state(3)
    expected["learner"].pop("w")
    assert found.state == expected


def test_the_newest_ones_are_kept_and_the_best_besides(checkpoints: Checkpoints) -> None:
    for step in (1, 2, 9, 10, 100):
        checkpoints.save(LATEST, step, state(step))
    for step in (1, 2, 9, 10):
        checkpoints.save(BEST, step, state(step))
    best = ["best_00000002", "best_00000009", "best_00000010"]
    assert names(checkpoints) == [*best, "step_00000010", "step_00000100"]
    assert checkpoints.newest(LATEST, CPU).step == 100  # type: ignore[union-attr]


def test_none_yet(checkpoints: Checkpoints) -> None:
    assert checkpoints.newest(LATEST, CPU) is None
    checkpoints.save(LATEST, 1, state(1))
    assert checkpoints.newest(BEST, CPU) is None


def test_the_same_step_again_is_the_newest_and_never_in_the_way_of_the_first(checkpoints: Checkpoints) -> None:
    for number in range(12):
        checkpoints.save(LATEST, 3, state(3) | {"seconds": number})
        assert checkpoints.newest(LATEST, CPU).state["seconds"] == number  # type: ignore[union-attr]
    assert names(checkpoints) == ["step_00000003_0010", "step_00000003_0011"]


def test_best_ones_of_a_future_that_may_not_come_are_dropped(checkpoints: Checkpoints) -> None:
    for step in (3, 3, 7):
        checkpoints.save(BEST, step, state(step))
    checkpoints.drop_best_after(3)
    assert names(checkpoints) == ["best_00000003", "best_00000003_0001"]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("function", ["write_synced", "sync"])
@pytest.mark.parametrize("call", [1, 2])
def test_killed_while_saving(
    function: str, call: int, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.save(LATEST, 1, state(1))
    real, calls = getattr(checkpoint, function), []

    def dying(*given: Any) -> None:
        calls.append(None)
        if len(calls) == call:
            if function == "write_synced":
                given[0].write_bytes(given[1][: len(given[1]) // 2])
            raise Killed
        real(*given)

    monkeypatch.setattr(checkpoint, function, dying)
    with pytest.raises(Killed):
        checkpoints.save(LATEST, 2, state(2))
    monkeypatch.undo()
    renamed = (function, call) == ("sync", 2)
    assert checkpoints.newest(LATEST, CPU).step == (2 if renamed else 1)  # type: ignore[union-attr]
    checkpoints.save(LATEST, 3, state(3))
    assert names(checkpoints) == (["step_00000002"] if renamed else ["step_00000001"]) + ["step_00000003"]


@pytest.mark.parametrize("call", [1, 2])
def test_the_disk_is_full(call: int, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    old = checkpoints.save(LATEST, 1, state(1))
    before = {path.name: path.read_bytes() for path in old.iterdir()}
    real, calls = checkpoint.write_synced, []

    def full(path: Path, data: bytes) -> None:
        calls.append(None)
        if len(calls) == call:
            path.write_bytes(data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, data)

    monkeypatch.setattr(checkpoint, "write_synced", full)
    with pytest.raises(CheckpointError, match=r"step_00000002 could not be written: No space left[^$]*\n  fix: make"):
        checkpoints.save(LATEST, 2, state(2))
    assert names(checkpoints) == ["step_00000001"]
    assert {path.name: path.read_bytes() for path in old.iterdir()} == before


def damaged(checkpoints: Checkpoints) -> list[Path]:
    return [checkpoints.save(LATEST, step, state(step)) for step in (1, 2)]


@pytest.mark.parametrize(("file", "stride"), [(STATE, 97), (MANIFEST, 1)])
def test_every_single_bit_counts(file: str, stride: int, checkpoints: Checkpoints) -> None:
    path = checkpoints.save(LATEST, 1, state(1)) / file
    data = path.read_bytes()
    for position in range(0, len(data), stride):
        for bit in (0, 4) if file == STATE else range(8):
            path.write_bytes(data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :])
            with pytest.raises(CheckpointError, match=r"is broken|has format"):
                read(path.parent, CPU)


def test_a_broken_one_is_named_and_passed_over(checkpoints: Checkpoints, caplog: pytest.LogCaptureFixture) -> None:
    _, newest = damaged(checkpoints)
    (newest / STATE).write_bytes(b"")
    with caplog.at_level(logging.WARNING, "metalstm"):
        assert checkpoints.newest(LATEST, CPU).step == 1  # type: ignore[union-attr]
    assert f"{newest} is broken" in caplog.text


def test_none_whole(checkpoints: Checkpoints) -> None:
    first, second = damaged(checkpoints)
    (first / MANIFEST).write_bytes(b"{}")
    shutil.rmtree(second)
    second.mkdir()
    with pytest.raises(CheckpointError) as caught:
        checkpoints.newest(LATEST, CPU)
    assert [
        str(path) in problem.what for path, problem in zip((second, first), caught.value.problems, strict=True)
    ] == [
        True,
        True,
    ]
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("content", ["[]", "null", '"text"', '{"format": 2}', "not json", '{"files": {"state.pt": 1}}'])
def test_a_manifest_that_is_none(content: str, checkpoints: Checkpoints) -> None:
    path = checkpoints.save(LATEST, 1, state(1))
    (path / MANIFEST).write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match="is broken"):
        read(path, CPU)


def test_a_state_of_another_step(checkpoints: Checkpoints) -> None:
    path = checkpoints.save(LATEST, 1, state(2))
    with pytest.raises(CheckpointError, match="is refused: it is not one of step 1"):
        read(path, CPU)


def test_a_newer_format(checkpoints: Checkpoints) -> None:
    path = checkpoints.save(LATEST, 1, state(1))
    manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8")) | {"format": 4}
    (path / MANIFEST).write_bytes(as_manifest(manifest))
    with pytest.raises(CheckpointError, match="has format 4, this version reads 3"):
        read(path, CPU)


def with_content(path: Path, data: bytes, **changes: Any) -> Path:
    """The checkpoint with another state, under a manifest that fits it."""
    manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8")) | changes
    manifest["files"][STATE] = {"size": len(data), "sha256": checksum(data)}
    (path / STATE).write_bytes(data)
    (path / MANIFEST).write_bytes(as_manifest(manifest))
    return path


def saved(content: Any, **how: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **how)
    return buffer.getvalue()


SEVERAL = torch.arange(3)
STATES: list[Any] = [
    *(b"", b"\0" * 100, b"PK\x05\x06" + b"\0" * 18, saved(state(1))[:-40], saved(state(1))[40:], b"\x80\x02."),
    *map(saved, ([1], None, "text", SEVERAL, {}, {"w": SEVERAL}, {1: 2}, {"learner": SEVERAL, "step": 1})),
    *map(saved, ({"learner": {}, "step": SEVERAL}, {"learner": {}, "step": "1"}, {"learner": [], "step": 1})),
    saved([1], _use_new_zipfile_serialization=False),
]


@pytest.mark.parametrize("number", range(len(STATES)))
def test_a_state_that_is_none_is_named_and_passed_over(number: int, checkpoints: Checkpoints, caplog: Any) -> None:
    _, newest = damaged(checkpoints)
    with_content(newest, STATES[number])
    with caplog.at_level(logging.WARNING, "metalstm"):
        assert checkpoints.newest(LATEST, CPU).step == 1  # type: ignore[union-attr]
    assert f"checkpoint {newest} is refused: " in caplog.text


DEEP = b'{"format": ' + b"[" * 400 + b"]" * 400 + b"}"
MANIFESTS = [b"", b"\xff\xfe{", b"[" * 100_000, DEEP, b'{"a":' * 100_000, b"9" * 10_000, b" " * 2**21, b"{} {}"]


@pytest.mark.parametrize("number", range(len(MANIFESTS)))
def test_a_manifest_of_other_bytes(number: int, checkpoints: Checkpoints) -> None:
    path = checkpoints.save(LATEST, 1, state(1))
    (path / MANIFEST).write_bytes(MANIFESTS[number])
    with pytest.raises(CheckpointError, match="is broken: "):
        read(path, CPU)


@pytest.mark.parametrize("changes", [{"step": "1"}, {"step": None}, {"settings": [1]}, {"settings": None}], ids=str)
def test_a_manifest_of_other_values(changes: dict[str, Any], checkpoints: Checkpoints) -> None:
    path = with_content(checkpoints.save(LATEST, 1, state(1)), saved(state(1)), **changes)
    with pytest.raises(CheckpointError, match=r"is refused: manifest.json has no step, or no settings"):
        read(path, CPU)


def test_a_run_s_directory_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    gone = Checkpoints(tmp_path / "moved away" / "checkpoints", 2)
    with pytest.raises(CheckpointError, match="could not be written"):
        gone.save("step", 1, {})
    assert list(tmp_path.iterdir()) == []
