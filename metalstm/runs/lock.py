"""One process at a time in a run directory, by a lock of the operating system's: a process's death releases it."""

from __future__ import annotations

import json
import logging
import os
import socket
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from filelock import FileLock, Timeout

from metalstm.config.text import pasted
from metalstm.errors import CheckpointError, ConfigError
from metalstm.files.reading import read_json
from metalstm.files.writing import is_same, remove_leftovers, write_atomically, writing

log = logging.getLogger(__name__)

LOCK = ".lock"
HOLDER = ".holder.json"  # beside the lock, which whoever asks for it may empty


class RunLock:
    """A context in which this process is the only one to write into a run directory, and notices if that goes away.

    Args:
        path: of the run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = FileLock(path / LOCK)
        self.folder = -1  # its descriptor: while it is open no other folder can have its number
        self.files: dict[Path, IO[Any]] = {}  # that the run keeps open

    def __enter__(self) -> RunLock:
        """Take the lock.

        Raises:
            ConfigError: another process has it; names it.
        """
        with writing(self.path):
            self.folder = os.open(self.path, os.O_RDONLY)
        try:
            self.lock.acquire(blocking=False)
        except Timeout as error:
            os.close(self.folder)
            raise ConfigError.of(
                f"{self.path} is in use by {self.holder()}", "wait for it to end, stop it, or start a new run"
            ) from error
        except (OSError, NotImplementedError) as error:
            # Such as a network file system without locks: no reason not to train.
            log.warning("%s cannot be locked (%s); start no second process on it", self.path, error)
            return self
        remove_leftovers(self.path)
        with suppress(OSError):  # without it the next one asking is not told who it is
            write_atomically(self.path / HOLDER, json.dumps(this_process()).encode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.lock.is_locked:
            with suppress(OSError):
                if is_same(self.path, self.folder):
                    (self.path / HOLDER).unlink(missing_ok=True)
            self.lock.release()
        os.close(self.folder)

    def check(self, files: bool = False) -> None:
        """Whether the directory is still the one that was locked; with `files`, also what the run keeps open in it.

        Raises:
            CheckpointError: it was removed, moved or replaced.
        """
        opened = {self.path: self.folder}
        if files:
            opened |= {path: file.fileno() for path, file in self.files.items() if not file.closed}
        with writing(self.path):
            gone = [path for path, descriptor in opened.items() if not is_same(path, descriptor)]
        if gone:
            raise CheckpointError.of(
                f"{gone[0]} is gone: removed, moved or replaced while the run was writing",
                f"leave it where it is; if there is a checkpoint, go on with {pasted('resume', self.path)}",
            )

    def holder(self) -> str:
        """Who has the lock, in words."""
        try:
            holder = read_json(self.path / HOLDER)
            return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
        except (ValueError, KeyError, TypeError):
            return "another process"


def is_held(path: Path) -> bool:
    """Whether a process is writing into a run directory now.

    Only where a file names a holder is the lock tried: trying takes it for a moment, and a process that starts on the
    run just then would be refused.
    """
    if not (path / HOLDER).exists():
        return False
    try:
        with FileLock(path / LOCK, blocking=False):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):  # a folder that cannot be written to; its holder is all that is known
        return True


def this_process() -> dict[str, object]:
    since = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
