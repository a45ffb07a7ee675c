"""A cache of decoded data: made once, read back only when whole, and always safe to delete."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from metalstm.files.ownership import own_folder, owners_of_data, read_own
from metalstm.files.paths import user_cache_folder
from metalstm.files.writing import write_atomically

log = logging.getLogger(__name__)

MAGIC = b"metalstm-cache-1"
READABLE = 0o644  # by all who may read the data; others' files are trusted only where the data itself is theirs
Content = dict[str, Any]  # tensors and plain data only


def cached(
    stem: str, key: str, beside: Path, make: Callable[[], Content], fits: Callable[[Content], bool] = lambda _: True
) -> Content:
    """Return what `make` gives, from the cache where an earlier call left it.

    The cache file lies beside the data or, where nothing can be written there, in the user's cache folder. One that
    is damaged, belongs to something else, or may have been written by somebody who could not change the data, is made
    anew; one that cannot be written is done without.

    Args:
        stem: the start of the file's name.
        key: a hexadecimal hash of all that the content depends on: the source and how it is decoded.
        beside: the data's own folder.
        make: decodes the data; what it gives is tensors and plain data only.
        fits: whether content read back has the shape it should have.
    """
    name = f"{stem}-{key[:12]}.cache"
    for folder in _readable(beside):
        content = _read(folder / name, beside, key, fits)
        if content is not None:
            return content
    content = make()
    _write_to_first((lambda: _free(beside, name), lambda: own_folder(user_cache_folder())), name, key, content)
    return content


def _readable(beside: Path) -> Iterator[Path]:
    """Where a cache file may be; its own owner and permissions are looked at as it is read."""
    yield beside
    with suppress(FileNotFoundError):
        yield user_cache_folder()


def _read(path: Path, beside: Path, key: str, fits: Callable[[Content], bool]) -> Content | None:
    """Return the content of a cache file; None where there is no whole one for this key."""
    try:
        header, _, body = read_own(path, owners_of_data(beside)).partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("cannot read the cache %s (%s); decoding again", path, error)
        return None
    if header != _header(key, body):
        log.warning("the cache %s is damaged or not for this data; decoding again", path)
        return None
    try:
        content = torch.load(io.BytesIO(body), weights_only=True)
    except Exception as error:  # a stranger's file with a right checksum may fail to load in any way at all
        log.warning("the cache %s cannot be read back (%s); decoding again", path, error)
        return None
    if not isinstance(content, dict) or not fits(content):
        log.warning("the cache %s does not hold what it should; decoding again", path)
        return None
    return content


def _write_to_first(folders: Iterable[Callable[[], Path]], name: str, key: str, content: Content) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    body = buffer.getvalue()
    reasons = []
    for folder in folders:
        try:
            place = folder() / name
            write_atomically(place, _header(key, body) + b"\n" + body, READABLE)
        except OSError as error:
            reasons.append(str(error))
        else:
            log.info("decoded data cached in %s", place)
            return
    log.warning("decoded data cannot be cached, so that the next start decodes again (%s)", "; ".join(reasons))


def _free(folder: Path, name: str) -> Path:
    """Refuses a folder that is not to be written to, or where another user's file has the name.

    Without any write permission root could write there, but its owner does not want that. And users who do not trust
    each other's files would overwrite them in turns.
    """
    if not folder.stat().st_mode & 0o222:
        raise PermissionError(errno.EACCES, "write-protected", str(folder))
    if (folder / name).exists() and (folder / name).stat().st_uid != os.geteuid():
        raise PermissionError(errno.EACCES, "belongs to another user", str(folder / name))
    return folder


def _header(key: str, body: bytes) -> bytes:
    return b" ".join([MAGIC, key.encode(), hashlib.sha256(body).hexdigest().encode()])
