"""Broken run directories, resumed, tested again and compared: refused with a reason, or gone on with."""

from __future__ import annotations

from typing import Any

import pytest


def test_broken_run_directories(fuzzed: Any) -> None:
    fuzzed("run_directories", 15)


def replaced(which: int, value: Any) -> Any:
    """One value of a file, counted as it is read, with another in its place; of a checkpoint's in all checkpoints."""
    from stress.fuzzing.damage import ODD_VALUES, Changed

    return Changed("replaced", which, next(at for at, odd in enumerate(ODD_VALUES) if repr(odd) == repr(value))), True


def bytes_instead(how: str) -> Any:
    from stress.fuzzing.damage import Broken

    return Broken(how, 0.5, 0)


# What fuzzing has found, kept.
@pytest.mark.parametrize("how", ["deep", "deep mapping", "itself"])
@pytest.mark.parametrize("file", ["config.yaml", "run.json", "manifest.json", "state.pt"])
def test_files_of_a_run(file: str, how: str) -> None:
    from stress.fuzzing.parts import PARTS, play
    from stress.fuzzing.runs import Case

    parts = {part.name: part for part in PARTS}
    case = Case("train", ("resume=run", "steps=5"), ((file, bytes_instead(how)),))
    assert play(parts["run_directories"], case) == []


ODD = [None, True, -1, 10**30, float("nan"), "word", [], {}, "line\nbreak"]


@pytest.mark.parametrize("file", ["result.json", "per_task.json"])
def test_values_that_a_report_reads(file: str) -> None:
    from stress.fuzzing.parts import PARTS, play
    from stress.fuzzing.runs import READ_VALUES, Case

    parts = {part.name: part for part in PARTS}
    for which in range(READ_VALUES[file]):
        damage = replaced(which, ODD[which % len(ODD)])
        assert play(parts["run_directories"], Case("report", ("run", "other"), ((file, damage),))) == [], damage


def test_a_whole_run_is_taken() -> None:
    from stress.fuzzing.harness import sandbox
    from stress.fuzzing.runs import Case, begin

    for command, arguments in (
        ("train", ("resume=run", "steps=5")),
        ("test", ("run=run", "tasks=2")),
        ("report", ("run",)),
    ):
        with sandbox() as root:
            assert begin(Case(command, arguments, ()), root).code == 0
        with sandbox() as root:
            file = "result.json" if command == "report" else "config.yaml"
            assert begin(Case(command, arguments, ((file, "gone"),)), root).code in (2, 4)
