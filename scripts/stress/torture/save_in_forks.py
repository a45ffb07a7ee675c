"""Saves of checkpoints in short-lived copies of one process, each with a fault of its own; run with LD_PRELOAD.

    LD_PRELOAD=interpose.so python -m stress.torture.save_in_forks FOLDER

Writes what was found to standard output, as JSON: a list of `Found`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from metalstm.errors import CheckpointError
from metalstm.runs.checkpoint import LATEST, Checkpoints
from stress.torture.interpose import Found, deaths, stages

KEEP = 2
BEFORE, SAVED = (1, 2), 3  # steps
FULL, OTHER = 4, 70  # exit codes
CPU = torch.device("cpu")


def state(step: int) -> dict[str, Any]:
    return {"step": step, "learner": {"w": torch.arange(5000.0) * step}}


def in_a_copy(checkpoints: Checkpoints, environment: Mapping[str, str]) -> int:
    """Saves in a fork of this process that has more in its environment; how that ended."""
    pid = os.fork()
    if pid == 0:
        os.environ.update(environment)
        try:
            checkpoints.save(LATEST, SAVED, state(SAVED))
        except CheckpointError as error:
            os._exit(FULL if "No space left" in str(error) else OTHER)
        except BaseException:
            os._exit(OTHER)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def content(folder: Path) -> dict[str, dict[str, bytes]]:
    return {path.name: {file.name: file.read_bytes() for file in path.iterdir()} for path in folder.iterdir()}


def with_two(folder: Path) -> Checkpoints:
    """A folder with as many checkpoints as are kept, so that the next one pushes the oldest out."""
    folder.mkdir(parents=True)
    checkpoints = Checkpoints(folder / "checkpoints", KEEP)
    for step in BEFORE:
        checkpoints.save(LATEST, step, state(step))
    return checkpoints


def try_fault(folder: Path, stage: str, kind: str) -> Found:
    checkpoints = with_two(folder)
    before = content(checkpoints.folder)
    ended = in_a_copy(checkpoints, {"FAULT_STAGE": stage, "FAULT_KIND": kind, "FAULT_AT": "1"})
    after = content(checkpoints.folder)
    newest = checkpoints.newest(LATEST, CPU)
    same = newest is not None and torch.equal(newest.state["learner"]["w"], state(newest.step)["learner"]["w"])
    whole = [name for name in before if before[name] == after.get(name)]
    left = [name for name in after if name.startswith(".")]
    checkpoints.save(LATEST, SAVED + 1, state(SAVED + 1))
    there = sorted(path.name for path in checkpoints.folder.iterdir())
    return Found(stage, kind, ended, newest.step if newest else None, same, sorted(whole), left, there)


def main(folder: Path) -> list[Found]:
    logging.disable(logging.CRITICAL)  # warnings of half removed ones, which are expected
    log = folder / "calls.log"
    assert in_a_copy(with_two(folder / "learn"), {"FAULT_LOG": str(log)}) == 0
    seen = stages(log)
    faults = deaths(seen) + [
        (stage, "enospc") for stage in seen if stage.split()[0] in ("mkdir", "open", "write", "fsync")
    ]
    return [try_fault(folder / str(number), *fault) for number, fault in enumerate(faults)]


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
