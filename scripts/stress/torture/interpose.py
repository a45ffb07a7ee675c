"""Deaths and full disks at a chosen call of a process, by a library of our own that stands between it and libc."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("interpose.c")


class Found(NamedTuple):
    """What a save with a fault came to."""

    stage: str
    kind: str
    ended: int  # the exit code; -n: of signal n
    step: int | None  # of the newest whole checkpoint
    same: bool  # whether it holds what was saved at that step
    whole: list[str]  # which of the older ones are as they were
    left: list[str]  # temporary ones, right after
    after: list[str]  # all that is there once another save has gone well


def compiler() -> str | None:
    """The C compiler; None: there is none."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


class Interposer:
    """The library, compiled into a folder.

    Args:
        folder: for it and its logs; made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.absolute()
        self.compiled = self.folder / "interpose.so"
        given = ["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(self.compiled), str(SOURCE), "-ldl"]
        subprocess.run([compiler() or "cc", *given], check=True)

    def logging(self, log: Path) -> dict[str, str]:
        """The environment of a process that writes its calls into a file."""
        return {"LD_PRELOAD": str(self.compiled), "FAULT_LOG": str(log.absolute())}

    def fault(self, stage: str, kind: str, at: int = 1) -> dict[str, str]:
        """The environment of a process that something happens to at a stage.

        Args:
            stage: as the log names it.
            kind: `kill`, `half` or `enospc`.
            at: which of the process's calls of that name, from 1.
        """
        return {"LD_PRELOAD": str(self.compiled), "FAULT_STAGE": stage, "FAULT_KIND": kind, "FAULT_AT": str(at)}


def stages(log: Path) -> Counter[str]:
    """The calls of a process by their names, and how many there were of each, in the order of the first of each."""
    return Counter(log.read_text(encoding="utf-8").splitlines())


def deaths(found: Counter[str]) -> list[tuple[str, str]]:
    """All stages to die at, with the kind of death: before each call, and with half of each write done."""
    return [
        (stage, kind) for stage in found for kind in (("kill", "half") if stage.startswith("write ") else ("kill",))
    ]


def saves_in_forks(interposer: Interposer, folder: Path) -> list[Found]:
    """What comes of a save that dies, or finds the disk full, at each of its stages; see `save_in_forks`."""
    scripts = str(SOURCE.parents[2])
    environment = {**os.environ, "LD_PRELOAD": str(interposer.compiled), "PYTHONPATH": scripts}
    command = [sys.executable, "-m", "stress.torture.save_in_forks", str(folder)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return [Found(*each) for each in json.loads(done.stdout)]
