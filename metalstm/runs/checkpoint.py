"""Checkpoints: folders that are whole or not there, checked by checksum before they are trusted.

A checkpoint is written under a temporary name, synced, and renamed: a process killed at any moment leaves the old one
or the new one. It holds tensors and plain data only.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from metalstm.errors import CheckpointError, Problem, first_line
from metalstm.files.reading import Unreadable, check_is_file, read_bytes
from metalstm.files.writing import write_synced, writing
from metalstm.runs.lock import RunLock

log = logging.getLogger(__name__)

FORMAT = 3
STATE = "state.pt"
MANIFEST = "manifest.json"
LARGEST_MANIFEST = 2**20  # bytes
LATEST, BEST = "step", "best"  # kinds


class Checkpoint(NamedTuple):
    step: int
    state: dict[str, Any]
    path: Path
    settings: Mapping[str, Any]  # that it was made with, by dotted names; none where it is older than this


class Checkpoints:
    """The checkpoints of a run: `step_<number>` for going on, `best_<number>` for meta-testing.

    Args:
        folder: where they are; made when the first is saved.
        keep: how many of each kind are kept.
        settings: that they are made with, by dotted names; written beside each.
        check: refuses one that is whole, but not of this run.
        held: the run, where this process writes into it.
    """

    def __init__(
        self,
        folder: Path,
        keep: int,
        settings: Mapping[str, Any] | None = None,
        check: Callable[[Checkpoint], None] = lambda checkpoint: None,
        held: RunLock | None = None,
    ) -> None:
        self.folder = folder
        self.settings = dict(settings or {})
        self.check = check
        self.held = held
        # One more best one: the newest may be younger than the checkpoint that a killed run goes on from.
        self.keep = {LATEST: keep, BEST: keep + 1}

    def save(self, kind: str, step: int, state: dict[str, Any]) -> Path:
        """Write one, then removes the oldest ones of its kind.

        Raises:
            CheckpointError: it could not be written; the older ones are as they were. Or what the run writes is gone.
        """
        if self.held is not None:
            self.held.check()
        name = f"{kind}_{step:08d}"
        # A resumed run comes to a step again: the older checkpoint stays in place until the new one is whole.
        there = sorted(path.name for path in self.folder.glob(f"{name}*"))
        final = self.folder / (f"{name}_{int(there[-1][len(name) + 1 :] or 0) + 1:04d}" if there else name)
        partial = self.folder / f".{final.name}.{secrets.token_hex(6)}"
        buffer = io.BytesIO()
        torch.save(state, buffer)
        data = buffer.getvalue()
        files = {STATE: {"size": len(data), "sha256": checksum(data)}}
        manifest = {"format": FORMAT, "step": step, "files": files, "settings": self.settings}
        try:
            with writing(final):
                if not self.folder.exists():
                    self.folder.mkdir()  # not the run's, which may have been moved away
                partial.mkdir()
                write_synced(partial / STATE, data)
                write_synced(partial / MANIFEST, as_manifest(manifest))
                sync(partial)
                os.replace(partial, final)
                sync(self.folder)
        except CheckpointError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        for leftover in self.folder.glob(".*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for old in self.paths(kind)[self.keep[kind] :]:
            shutil.rmtree(old, ignore_errors=True)
        if self.held is not None:
            self.held.check(files=kind == LATEST)
        return final

    def drop_best_after(self, step: int) -> None:
        """Remove best ones that are younger than the step a run goes on from: it may not come to them again."""
        for path in self.paths(BEST):
            if path.name > f"{BEST}_{step:08d}~":
                shutil.rmtree(path, ignore_errors=True)

    def paths(self, kind: str) -> list[Path]:
        """Return the checkpoints of a kind, the newest first."""
        return sorted(self.folder.glob(f"{kind}_*"), reverse=True)

    def newest(self, kind: str, device: torch.device) -> Checkpoint | None:
        """Return the newest one that is whole, with a warning for each that is not; None where there is none at all.

        Raises:
            CheckpointError: there are some, but none is whole; with a reason for each.
            whatever `check` raises, which no older one would mend.
        """
        problems: list[Problem] = []
        for path in self.paths(kind):
            try:
                found = read(path, device)
            except CheckpointError as error:
                problems += error.problems
                log.warning("%s; falling back to the one before", error.problems[0].what)
                continue
            self.check(found)
            return found
        if problems:
            raise CheckpointError(*problems)
        return None


def read(path: Path, device: torch.device) -> Checkpoint:
    """Read a checkpoint after checking its size and checksum; nothing in it can be executed.

    Raises:
        CheckpointError: it is broken, of a newer format, or holds anything but tensors and plain data.
    """
    fix = "remove it; the run goes on from an older one, or starts anew"
    try:
        as_written = read_bytes(path / MANIFEST, LARGEST_MANIFEST)
        check_is_file(path / STATE)
        data = (path / STATE).read_bytes()
        manifest = json.loads(as_written)
        rewritten = as_manifest(manifest)
        known_format, step, entry = manifest["format"], manifest["step"], manifest["files"][STATE]
        size, wanted, settings = entry["size"], entry["sha256"], manifest.get("settings", {})
    except (Unreadable, OSError) as error:
        raise CheckpointError.of(f"checkpoint {path} is broken: {first_line(error)}", fix) from error
    except (AttributeError, ValueError, KeyError, TypeError, RecursionError) as error:
        said = f"{type(error).__name__}: {first_line(error)}"
        raise CheckpointError.of(f"checkpoint {path} is broken: {MANIFEST} is none: {said}", fix) from error
    if isinstance(known_format, int) and known_format > FORMAT:
        raise CheckpointError.of(
            f"checkpoint {path} has format {known_format}, this version reads {FORMAT}",
            "install the version that wrote it",
        )
    if rewritten != as_written:
        raise CheckpointError.of(f"checkpoint {path} is broken: the checksum of {MANIFEST} differs", fix)
    if len(data) != size:
        raise CheckpointError.of(f"checkpoint {path} is broken: {STATE} has {len(data)} bytes, not {size}", fix)
    if checksum(data) != wanted:
        raise CheckpointError.of(f"checkpoint {path} is broken: the checksum of {STATE} differs", fix)
    if not isinstance(step, int) or not isinstance(settings, dict):
        raise CheckpointError.of(f"checkpoint {path} is refused: {MANIFEST} has no step, or no settings", fix)
    try:
        state = torch.load(io.BytesIO(data), map_location=device, weights_only=True)
    except Exception as error:  # torch reads what a stranger may have written, and has errors of every kind for it
        raise CheckpointError.of(f"checkpoint {path} is refused: {STATE}: {first_line(error)}", fix) from error
    if not is_state(state, step):
        raise CheckpointError.of(f"checkpoint {path} is refused: it is not one of step {step}", fix)
    return Checkpoint(step, state, path, settings)


def is_state(content: Any, step: int) -> bool:
    """Whether this is what `save` was given: a learner's state, and of one to go on from also its step."""
    if not isinstance(content, dict) or not isinstance(content.get("learner"), dict):
        return False
    of = content.get("step", step)
    return isinstance(of, int) and of == step


@contextmanager
def fitting(checkpoint: Checkpoint) -> Iterator[None]:
    """Open a context in which a checkpoint's content is used.

    Raises:
        CheckpointError: it is that of another model, or of another version.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise CheckpointError.of(
            f"checkpoint {checkpoint.path} does not fit the run's config: {type(error).__name__}: {first_line(error)}",
            "bring back the config.yaml that the run began with, or start a new run",
        ) from error


def as_manifest(content: Mapping[str, Any]) -> bytes:
    """Return what is written of a checkpoint's manifest, to the last byte: with a checksum of its own at the end."""
    named = {name: value for name, value in content.items() if name != "sha256"}
    return json.dumps(named | {"sha256": checksum(json.dumps(named).encode())}, indent=2).encode()


def checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sync(folder: Path) -> None:
    """Wait until the disk has a folder's entries."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
