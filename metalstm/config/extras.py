"""Packages that only some of the work needs, by the names of this package's extras: how a person gets them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

PACKAGE = "metalstm"


def install(extra: str) -> str:
    """Return the command that installs an extra. The package is on no registry: it names where it was installed from.

    Where that is gone, or was no folder or file, the command names what the extra is made of.
    """
    source, editable = installed_from()
    if source is not None and source.exists():
        return f"pip install {'-e ' * editable}{shlex.quote(f'{source}[{extra}]')}"
    return shlex.join(["pip", "install", *requirements(extra)])


def installed_from() -> tuple[Path | None, bool]:
    """Return where the package was installed from, and whether it is used where it lies (PEP 610)."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, PackageNotFoundError):
        said = json.loads(distribution(PACKAGE).read_text("direct_url.json") or "{}")
        url = urlsplit(said["url"])
        if url.scheme == "file":
            return Path(unquote(url.path)), bool(said.get("dir_info", {}).get("editable", False))
    return None, False


def requirements(extra: str) -> Iterator[str]:
    """Yield what an extra is made of, those of other extras that it names included."""
    for line in distribution(PACKAGE).requires or []:
        wanted, _, marker = line.partition(";")
        if re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", marker) is None:
            continue
        others = re.fullmatch(rf"{PACKAGE}\[(.*)\]", wanted.strip())
        if others is None:
            yield wanted.strip()
        else:
            for other in others.group(1).split(","):
                yield from requirements(other.strip())
