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

from filelock import FileLock, Timeout

from metalstm.errors import ConfigError
from metalstm.files import remove_leftovers, write_atomically
from metalstm.reading import read_json

log = logging.getLogger(__name__)

LOCK = ".lock"
HOLDER = ".holder.json"  # beside the lock, which whoever asks for it may empty


class RunLock:
    """A context in which this process is the only one to write into a run directory.

    Args:
        path: of the run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = FileLock(path / LOCK)

    def __enter__(self) -> RunLock:
        """Takes the lock.

        Raises:
            ConfigError: another process has it; names it.
        """
        try:
            self.lock.acquire(blocking=False)
        except Timeout as error:
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
            (self.path / HOLDER).unlink(missing_ok=True)
            self.lock.release()

    def holder(self) -> str:
        """Who has the lock, in words."""
        try:
            holder = read_json(self.path / HOLDER)
            return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
        except (ValueError, KeyError, TypeError):
            return "another process"


def is_held(path: Path) -> bool:
    """Whether a process is writing into a run directory now.

    A run that nobody has begun to write into, or that was left in order, is not asked about its lock: to ask is to hold
    it for a moment, and a process that starts on the run just then would be refused.
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
