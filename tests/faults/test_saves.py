"""A save that dies, or finds the disk full, at each of its stages: the old checkpoint or the new one is whole."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from stress.torture.interpose import Found, Interposer, deaths, saves_in_forks, stages

OLD, SAVED, NEXT = "step_00000002", 3, "step_00000004"
# What a save has to come through, in this order.
MILESTONES = [
    "mkdir checkpoints/.step_*",
    "open checkpoints/.step_*/state.pt",
    "write checkpoints/.step_*/state.pt",
    "fsync checkpoints/.step_*/state.pt",
    "open checkpoints/.step_*/manifest.json",
    "write checkpoints/.step_*/manifest.json",
    "fsync checkpoints/.step_*/manifest.json",
    "fsync checkpoints/.step_*",
    "rename checkpoints/step_*",
    "fsync checkpoints",
    "rmdir checkpoints/step_*",
]


@pytest.fixture(scope="module")
def found(interposer: Interposer, tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    """All stages of a save, with the fault that each was given."""
    return saves_in_forks(interposer, tmp_path_factory.mktemp("saves"))


def plain(stage: str) -> str:
    """A stage without the random part of a temporary name."""
    return stage.replace("_*.*", "_*")


def test_every_stage_is_there(found: list[Found]) -> None:
    killed = [plain(each.stage) for each in found if each.kind == "kill"]
    assert [stage for stage in killed if stage in MILESTONES] == MILESTONES
    assert any(stage.startswith("unlink checkpoints/step_") for stage in killed)
    half = [plain(each.stage) for each in found if each.kind == "half"]
    assert half == [f"write checkpoints/.step_*/{name}" for name in ("state.pt", "manifest.json")]


def test_killed_at_each_stage_of_a_save(found: list[Found]) -> None:
    names = [plain(each.stage) for each in found]
    for each, name in zip(found, names, strict=True):
        if each.kind == "enospc":
            continue
        renamed = names.index(name) > names.index("rename checkpoints/step_*")
        assert each.ended == -signal.SIGKILL, each
        assert each.step == (SAVED if renamed else 2), each
        assert each.same, each
        assert OLD in each.whole, each
        assert each.after == ["step_00000003" if renamed else OLD, NEXT], each


def test_a_disk_that_is_full_from_each_stage_on(found: list[Found]) -> None:
    full = [each for each in found if each.kind == "enospc"]
    assert {plain(each.stage) for each in full} == {
        stage for stage in MILESTONES if stage.split()[0] in ("mkdir", "open", "write", "fsync")
    }
    for each in full:
        assert each.ended == 4, each  # CheckpointError: No space left
        assert each.left == [], each
        assert each.whole == ["step_00000001", OLD], each
        assert each.same, each
        assert each.step in (2, SAVED), each


def test_stages_and_the_deaths_at_them(tmp_path: Path) -> None:
    log = tmp_path / "calls.log"
    log.write_text("rename a\nwrite b\nfsync b\nwrite b\n", encoding="utf-8")
    assert list(stages(log).items()) == [("rename a", 1), ("write b", 2), ("fsync b", 1)]
    assert deaths(stages(log)) == [("rename a", "kill"), ("write b", "kill"), ("write b", "half"), ("fsync b", "kill")]
