"""Write files so that each is whole or not there."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from metalstm.errors import CheckpointError

TEMPORARY = ".tmp"
PROBE = 2**16  # bytes that a folder is tried with
MOST_BYTES = 2**30  # of a file of data that is read as a whole
# Where a spreadsheet may take a text for a formula: at its start, or after what some take for the end of a cell.
FORMULA = re.compile(r"(^|[;\t\r\n])(?=\s*[=+\-@＝＋－＠])")


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
    """Open a context in which a file of a run is written: what goes wrong with it is said with its remedy.

    Raises:
        CheckpointError: the disk is full, or whatever else the system says.
    """
    try:
        if path.is_fifo() or path.is_socket():  # to open a pipe is to wait for its reader
            raise OSError(errno.EINVAL, "Is no file, but a pipe or a socket")
        yield
    except OSError as error:
        in_the_way = path.is_symlink() or error.errno in (errno.EINVAL, errno.EISDIR, errno.ENOTDIR, errno.ELOOP)
        remedy = (
            "remove what stands in its place" if in_the_way else "make room or give a folder that can be written to"
        )
        raise CheckpointError.of(
            f"{path} could not be written: {error.strerror or error}", f"{remedy}, then resume the run"
        ) from error


def room(folder: Path) -> float:
    """Return the bytes that are free where a folder is, or would be made; endless where the file system has no size."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    usage = shutil.disk_usage(there)
    return usage.free if usage.total else math.inf


def is_same(path: Path, descriptor: int) -> bool:
    """Whether a name still stands for the file or folder that is open under it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except (FileNotFoundError, NotADirectoryError):
        return False


def check_writable(folder: Path) -> None:
    """Whether a file can be written into a folder, or into the one that it would be made in; nothing is left there.

    Raises:
        OSError: it cannot, or there is no room for it.
    """
    there = folder.absolute()
    while not os.path.lexists(there):  # a link that leads nowhere cannot be made a folder
        there = there.parent
    probe = there / f".{secrets.token_hex(6)}{TEMPORARY}"
    try:
        write_synced(probe, bytes(PROBE))
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def write_synced(path: Path, data: bytes, permissions: int = 0o666) -> None:
    """Write a file of a new name and waits until the disk has it; its permissions are these, less the umask."""
    # Not exclusively: where a signal interrupts it, Python opens once more, and would find its own file.
    no_links = getattr(os, "O_NOFOLLOW", 0)
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags | no_links, permissions)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def remove_leftovers(folder: Path, stem: str = "") -> None:
    """Remove what a process that died in `write_atomically` has left in a folder, of files that begin with `stem`.

    Folders named alike, in which something was being made, are removed as well.
    """
    for leftover in folder.glob(f".{stem}*{TEMPORARY}"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes, permissions: int = 0o666) -> None:
    """Write a file so that its name only ever stands for the whole of it.

    Args:
        path: where.
        data: its content.
        permissions: of the file, less the umask.

    Raises:
        OSError: where it cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}{TEMPORARY}")
    try:
        write_synced(temporary, data, permissions)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def as_csv(rows: Iterable[Sequence[object]]) -> str:
    """Rows as comma-separated values whose texts no spreadsheet takes for formulas: such a text gets a `'` in front.

    A number stays one, whatever its sign. See OWASP, "CSV Injection".
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([FORMULA.sub(r"\1'", cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue()


def as_json(content: Any) -> str:
    """JSON that every reader takes: a number that is not finite is null."""
    return json.dumps(finite(content), indent=1, allow_nan=False) + "\n"


def finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
