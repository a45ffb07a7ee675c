"""Omniglot fetched by torchvision, and put in place only when it is whole."""

from __future__ import annotations

import http.client
import logging
import os
import socket
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from metalstm.datasets.omniglot_files import SUBFOLDER
from metalstm.errors import DataError

log = logging.getLogger(__name__)

PATIENCE = 60.0  # seconds without a byte, after which a server counts as gone


def download_omniglot(root: Path) -> None:
    """Fetches and unpacks both zips into `root/omniglot-py`, the layout of torchvision.

    Everything goes through a temporary folder in `root`, so that a download cut off leaves no half file behind.

    Raises:
        DataError: it failed; says which two zips to put where by hand.
    """
    from torchvision.datasets import Omniglot  # here, since it takes a while and most starts download nothing

    log.info("downloading Omniglot to %s", root / SUBFOLDER)
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        root.mkdir(parents=True, exist_ok=True)
        # In the root itself, and not beside it: a rename does not cross from one file system to another.
        with tempfile.TemporaryDirectory(dir=root, prefix=".omniglot-download-") as temporary, _impatient_sockets():
            for background in (True, False):
                Omniglot(temporary, background=background, download=True)
            os.rename(Path(temporary) / SUBFOLDER, root / SUBFOLDER)
    except (OSError, RuntimeError, http.client.HTTPException, zipfile.BadZipFile) as error:
        with suppress(OSError):  # not empty: somebody else has begun to use it
            for folder in made:
                folder.rmdir()
        files = " and ".join(f"{Omniglot.download_url_prefix}/{name}.zip" for name in Omniglot.zips_md5)
        raise DataError.of(
            f"Omniglot could not be downloaded to {root}: {error or type(error).__name__}",
            f"fetch {files} by hand, and put both into {root}, or name the folder that holds them with dataset.root",
        ) from error


@contextmanager
def _impatient_sockets() -> Iterator[None]:
    """torchvision sets no time limit: a server that falls silent would hang the run for good."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
