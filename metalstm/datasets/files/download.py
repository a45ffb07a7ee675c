"""A download that is whole or not there, into a folder that is left as it was when it fails."""

from __future__ import annotations

import http.client
import os
import socket
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from metalstm.errors import DataError

PATIENCE = 60.0  # seconds without a byte, after which a server counts as gone
FAILURES = (
    *(EOFError, OSError, RuntimeError, http.client.HTTPException),
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error),
)


@contextmanager
def downloading(root: Path, subfolder: str, what: str, by_hand: str) -> Iterator[Path]:
    """Open a temporary folder to download into; its `subfolder` moves to the root when all has gone well.

    Args:
        root: made where there is none.
        subfolder: what the download makes, by name.
        what: the data's name.
        by_hand: what a person can do instead.

    Raises:
        DataError: the download failed; nothing of it is left.
    """
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        # In the root itself, and not beside it: a rename does not cross from one file system to another.
        with tempfile.TemporaryDirectory(dir=root, prefix=f".{subfolder}-download-") as temporary, _impatient_sockets():
            yield Path(temporary)
            os.rename(Path(temporary) / subfolder, root / subfolder)
    except FAILURES as error:
        with suppress(OSError):  # not empty: somebody else has begun to use it
            for folder in made:
                folder.rmdir()
        raise DataError.of(
            f"{what} could not be downloaded to {root}: {error or type(error).__name__}", by_hand
        ) from error


@contextmanager
def _impatient_sockets() -> Iterator[None]:
    """Set a time limit, which torchvision does not: a server that falls silent would hang the run for good."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
