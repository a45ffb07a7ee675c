"""Where a person's files live, and how a file is written so that it is whole or not there."""

from __future__ import annotations

import math
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metalstm.errors import CheckpointError, DataError, MetalstmError

TEMPORARY = ".tmp"


def user_data_folder() -> Path:
    """Where a person's own copies of datasets live: `$XDG_DATA_HOME/metalstm`, or `~/.local/share/metalstm`."""
    return _user_folder("XDG_DATA_HOME", ".local/share")


def user_cache_folder() -> Path:
    """Where what can be made anew lives: `$XDG_CACHE_HOME/metalstm`, or `~/.cache/metalstm`."""
    return _user_folder("XDG_CACHE_HOME", ".cache")


def expanded(path: str | Path, name: str = "dataset.root", kind: type[MetalstmError] = DataError) -> Path:
    """Return a path that a person has given; `~` at its beginning is a home folder, and `./~` a folder of that name.

    Args:
        path: as it was given.
        name: the setting or argument that it was given for.
        kind: of the error.

    Raises:
        MetalstmError: it is empty, no system takes it, or nobody has the name that stands after `~`.
    """
    text = str(path)
    if not text:
        raise kind.of(f"{name} is empty", f"give {name}=..., or leave it out")
    if not text.isprintable():
        raise kind.of(f"{name}={text} has characters that cannot be printed", f"give {name} without them")
    try:
        whole = Path(text)
        if str(whole).startswith("~"):  # which `./~` is as well, once it is a Path
            return whole.expanduser() if text.startswith("~") else whole.absolute()
        return whole
    except RuntimeError as error:  # nobody has this name, or this person has no home
        raise kind.of(f"{name}={text}: {error}", f"give {name}=<the whole path>; ./~ is a folder named ~") from error


def _user_folder(variable: str, default: str) -> Path:
    named = os.environ.get(variable, "")
    # The XDG base directory specification: a relative path in these variables is to be ignored.
    return (Path(named) if os.path.isabs(named) else Path.home() / default) / "metalstm"


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
