"""The state that a run ends in, by its digests."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple


class EndState(NamedTuple):
    """What a finished run leaves: SHA-256 of each."""

    learner: str
    outer: str
    metrics: str
    result: str

    def differences(self, other: EndState) -> list[str]:
        return [name for name in self._fields if getattr(self, name) != getattr(other, name)]


def digest(state: Any) -> str:
    """SHA-256 of nested tensors and plain data: every bit of every tensor, its type and shape, and every name."""
    import torch

    found = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            found.update(f"tensor {value.dtype} {tuple(value.shape)} ".encode())
            found.update(value.contiguous().numpy().tobytes())
        elif isinstance(value, Mapping):
            found.update(f"mapping of {len(value)} ".encode())
            for name in sorted(value, key=repr):
                found.update(f"{name!r}: ".encode())
                add(value[name])
        elif isinstance(value, (list, tuple)):
            found.update(f"list of {len(value)} ".encode())
            for item in value:
                add(item)
        else:
            found.update(f"{value!r} ".encode())

    add(state)
    return found.hexdigest()
