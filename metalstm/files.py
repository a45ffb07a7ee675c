"""Where a person's files live, and how a file is written so that it is whole or not there."""

from __future__ import annotations

import math
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from metalstm.errors import CheckpointError, DataError

TEMPORARY = ".tmp"
MOST_BYTES = 2**30  # of a file of data that is read as a whole


def user_data_folder() -> Path:
    """Where a person's own copies of datasets live: `$XDG_DATA_HOME/metalstm`, or `~/.local/share/metalstm`."""
    return _user_folder("XDG_DATA_HOME", ".local/share")


def user_cache_folder() -> Path:
    """Where what can be made anew lives: `$XDG_CACHE_HOME/metalstm`, or `~/.cache/metalstm`."""
    return _user_folder("XDG_CACHE_HOME", ".cache")


def expanded(root: Path) -> Path:
    """The folder of a dataset as its name stands for it: `~` is a person's home.

    Raises:
        DataError: nobody has the name that stands after `~`.
    """
    try:
        return root.expanduser()
    except RuntimeError as error:
        raise DataError.of(f"{root}: {error}", "name the folder that holds the data with dataset.root") from error


def _user_folder(variable: str, default: str) -> Path:
    named = os.environ.get(variable, "")
    # The XDG base directory specification: a relative path in these variables is to be ignored.
    return (Path(named) if os.path.isabs(named) else Path.home() / default) / "metalstm"


def read_bounded(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a file of data that fits into memory.

    Raises:
        ValueError: it is larger; its size is looked at before it is read.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return read_at_most(file, os.fstat(file.fileno()).st_size, most)


def check_size(size: int, most: int) -> None:
    if size > most:
        raise ValueError(f"it has {size:,} bytes, but at most {most:,} are read of such a file: make it smaller")


def read_at_most(file: IO[bytes], declared: int, most: int) -> bytes:
    """Read a file that says how large it is.

    Raises:
        ValueError: it says that it is larger than `most` bytes, or holds more than it says.
    """
    check_size(declared, most)
    data = file.read(declared)
    if file.read(1):
        raise ValueError(f"it holds more than the {declared:,} bytes that it says it has")
    return data


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A context in which a file of a run is written: what goes wrong with it is said with its remedy.

    Raises:
        CheckpointError: the disk is full, or whatever else the system says.
    """
    try:
        yield
    except OSError as error:
        raise CheckpointError.of(
            f"{path} could not be written: {error.strerror or error}",
            "make room or give a folder that can be written to, then resume the run",
        ) from error


def room(folder: Path) -> float:
    """The bytes that are free where a folder is, or would be made; endless where the file system has no size."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    usage = shutil.disk_usage(there)
    return usage.free if usage.total else math.inf


def remove_leftovers(folder: Path) -> None:
    """Removes what a process that died in `write_atomically` has left in a folder."""
    for leftover in folder.glob(f".*{TEMPORARY}"):
        leftover.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that its name only ever stands for the whole of it.

    Raises:
        OSError: where it cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{TEMPORARY}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
