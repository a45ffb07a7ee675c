"""A cache of decoded data: made once, read back only when whole, and always safe to delete."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from metalstm.files import user_cache_folder, write_atomically

log = logging.getLogger(__name__)

MAGIC = b"metalstm-cache-1"
Content = dict[str, Any]  # tensors and plain data only


def cached(
    stem: str, key: str, beside: Path, make: Callable[[], Content], fits: Callable[[Content], bool] = lambda _: True
) -> Content:
    """What `make` gives, from the cache where an earlier call left it.

    The cache file lies beside the data or, where nothing can be written there, in the user's cache folder. One that
    is damaged, or belongs to something else, is made anew; one that cannot be written is done without.

    Args:
        stem: the start of the file's name.
        key: a hexadecimal hash of all that the content depends on: the source and how it is decoded.
        beside: the data's own folder.
        make: decodes the data; what it gives is tensors and plain data only.
        fits: whether content read back has the shape it should have.
    """
    places = [folder / f"{stem}-{key[:12]}.cache" for folder in (beside, user_cache_folder())]
    for place in places:
        content = _read(place, key, fits)
        if content is not None:
            return content
    content = make()
    _write_to_first(places, key, content)
    return content


def _read(path: Path, key: str, fits: Callable[[Content], bool]) -> Content | None:
    """The content of a cache file; None where there is no whole one for this key."""
    try:
        header, _, body = path.read_bytes().partition(b"\n")
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


def _write_to_first(places: list[Path], key: str, content: Content) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    body = buffer.getvalue()
    reasons = []
    for place in places:
        try:
            # Only the user's cache folder is ever created: the data's folder exists, its content has just been read.
            if place is places[-1]:
                place.parent.mkdir(parents=True, exist_ok=True)
            _check_not_protected(place.parent)
            write_atomically(place, _header(key, body) + b"\n" + body)
        except OSError as error:
            reasons.append(f"{place}: {error.strerror or error}")
        else:
            log.info("decoded data cached in %s", place)
            return
    log.warning("decoded data cannot be cached, so that the next start decodes again (%s)", "; ".join(reasons))


def _check_not_protected(folder: Path) -> None:
    """Refuses a folder without any write permission: root could write there, but its owner does not want that."""
    if not folder.stat().st_mode & 0o222:
        raise PermissionError(errno.EACCES, "write-protected", str(folder))


def _header(key: str, body: bytes) -> bytes:
    return b" ".join([MAGIC, key.encode(), hashlib.sha256(body).hexdigest().encode()])
