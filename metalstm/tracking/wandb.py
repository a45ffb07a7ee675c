"""Weights & Biases, offline: files in the run's directory, which `wandb sync` sends when a person wants it."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # what is tracked stays on this machine

import wandb

from metalstm.files.writing import room
from metalstm.registry import register
from metalstm.tracking.base import Ending, Record, TrackedRun, Tracker

PROJECT = "metalstm"
FOLDER = "wandb"
ROOM = 2**16  # bytes that must be left
EXIT_CODE = {"finished": 0, "interrupted": 130, "failed": 1}


@register("tracker", "wandb")
class WandB(Tracker):
    """Writes the whole run anew at each start, under the same id, so that there is one folder to send."""

    folder: Path
    writing: Any

    def begin(self, run: TrackedRun) -> None:
        self.folder = run.path
        run_id = run.known_id("wandb")
        if run_id is None:
            run_id = secrets.token_hex(4)
            run.remember_id("wandb", run_id)
        for old in (run.path / FOLDER).glob(f"offline-run-*-{run_id}"):
            shutil.rmtree(old)
        self.writing = wandb.init(
            project=PROJECT,
            name=run.name,
            id=run_id,
            dir=str(run.path.absolute()),
            config=dict(run.settings),
            mode="offline",
            # It is given the metrics, and is to watch neither the screen nor the machine nor the code.
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                disable_code=True,
                x_disable_stats=True,
                x_disable_meta=True,
            ),
        )

    def log(self, records: Sequence[Record]) -> None:
        self.check_room()
        for record in records:  # of one step there may be several: they are one line of its history
            self.writing.log(dict(record.values), step=record.step)

    def end(self, ending: Ending) -> None:
        self.writing.finish(exit_code=EXIT_CODE[ending])
        self.check_room()

    def check_room(self) -> None:
        """Refuse a full disk: the library's own process, which writes, says nothing of it.

        Raises:
            OSError: it is.
        """
        if room(self.folder) < ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
