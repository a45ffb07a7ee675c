"""The files of a run that a report can do without: what is missing or broken is left out, and said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalstm.files.reading import Unreadable, read_json

LARGEST = 2**28  # bytes; every task of every curve takes ten or so


def read_optional(path: Path) -> dict[str, Any] | None:
    """Return a file of JSON with one mapping; None: it is not there or broken."""
    try:
        content = read_json(path, LARGEST)
    except Unreadable:
        return None
    return content if isinstance(content, dict) else None


def found(content: Any, *names: str) -> Any:
    """Return what a nested mapping has under names, one in the other; None: nothing."""
    for name in names:
        if not isinstance(content, Mapping):
            return None
        content = content.get(name)
    return content
