"""Folders and files that nobody else can have written, so that what lies in them may be trusted, or even executed.

A checksum that lies beside a file tells damage; it cannot stop a person who may write both. That is what the owner and
the permissions are looked at for. Whoever owns `/` can change every program here, and is not guarded against.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path

WRITABLE = stat.S_IWGRP | stat.S_IWOTH
OURS = 0o600  # the permissions of a file of our own


def own_folder(folder: Path) -> Path:
    """Give a folder that only this user can write, with permissions 0700 and links resolved; make it where missing.

    Raises:
        OSError: it cannot be made, or another user could put something in its place; the message says why.
    """
    folder = Path(os.path.realpath(folder))
    for above in reversed(folder.parents):
        _make(above)
        # In a sticky folder such as /tmp each may rename what is theirs alone.
        _check(above, above.stat(), _system(), may_write=stat.S_ISVTX)
    _make(folder)
    status = folder.stat()
    _check(folder, status)
    if stat.S_IMODE(status.st_mode) != 0o700:
        folder.chmod(0o700)
    return folder


def read_own(path: Path, owners: Iterable[int] = ()) -> bytes:
    """Read a file that only this user, or one of the `owners` by number, can have written.

    Raises:
        OSError: it is not there, another user's, or others may write it; the message says which.
    """
    # A pipe that somebody has put there would be waited for.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no file", str(path))
        _check(path, status, owners)
        return file.read()


def owners_of_data(folder: Path) -> set[int]:
    """Give the users who could change the data in a folder anyway: its owner, and the system's."""
    return {folder.stat().st_uid, *_system()}


def _system() -> set[int]:
    # Within a user namespace the owner of `/` may have another number than 0.
    return {0, os.stat("/").st_uid}


def _make(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(0o700, exist_ok=True)


def _check(path: Path, status: os.stat_result, owners: Iterable[int] = (), may_write: int = 0) -> None:
    """Refuse what another user owns, or may write; bits in `may_write` make the latter harmless."""
    if status.st_uid not in {os.geteuid(), *owners}:
        raise PermissionError(f"{path} belongs to another user ({status.st_uid})")
    if status.st_mode & WRITABLE and not status.st_mode & may_write:
        raise PermissionError(f"{path} can be written by other users (chmod go-w it)")
