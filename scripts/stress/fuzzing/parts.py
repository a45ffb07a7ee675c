"""The parts of the fuzzing: for each its inputs, and how one is played."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis.strategies import SearchStrategy

from . import archives, overrides, own_files, runs
from .harness import faults, run, sandbox


class Part(NamedTuple):
    """Inputs of one kind."""

    name: str
    inputs: SearchStrategy[Any]
    play: Callable[[Any, Path], list[str]]  # input, sandbox: what is wrong
    share: float  # of all inputs of a long run


def play_line(line: overrides.Line, root: Path) -> list[str]:
    runs.prepare(root)
    return faults(run(line.command, line.arguments, root), line.arguments)


def play_training(line: overrides.Line, root: Path) -> list[str]:
    # What begins well may end badly, and leaves the run's directory.
    return faults(run(line.command, line.arguments, root, cheap=False), line.arguments, lambda name: True)


PARTS = [
    Part("overrides", overrides.lines(), play_line, 0.5),
    Part("trainings", overrides.trainings(), play_training, 0.05),
    Part("dataset_files", archives.data(), archives.play, 0.2),
    Part("own_files", own_files.cases(), own_files.play, 0.2),
    Part("run_directories", runs.cases(), runs.play, 0.25),
]


def play(part: Part, case: Any) -> list[str]:
    """What is wrong with how the commands took an input; nothing of it stays on disk."""
    runs.whole()  # so that no input pays for the imports
    with sandbox() as root:
        return part.play(case, root)
