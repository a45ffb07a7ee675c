"""All the images, recordings or tables of a person's folders, read once and kept in a cache.

Legend: N examples of all classes, F features.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor

from metalstm.datasets.cache import Content, cached
from metalstm.datasets.counted import counted
from metalstm.datasets.files_by_kind import Classes, first
from metalstm.datasets.folder_readers import FolderSettings, is_grey, read_image, read_recording, read_table, rows_of
from metalstm.datasets.reader import UNREADABLE, reason
from metalstm.errors import DataError, Problem

VERSION = 1  # part of the fingerprint and of the cache's key: to be raised when files are read in another way


def read_all(root: Path, kind: str, classes: Classes, settings: FolderSettings) -> Content:
    """All examples, from the cache where the same files have been read before.

    Returns:
        `values` [all steps of all examples, F], uint8 or float32; `steps` [N] int64 of each example; `cut`, how many
        were longer; and a `fingerprint` of the files' content.

    Raises:
        DataError: naming the files that cannot be read, or are not of the same width.
    """
    listed = [(name, [(file.name, stamp(file)) for file in files]) for name, files in classes.items()]
    key = json.dumps([VERSION, kind, settings, listed])
    count = sum(map(len, classes.values()))

    def fits(content: Content) -> bool:
        if content.keys() != {"values", "steps", "cut", "fingerprint"}:
            return False
        return len(content["steps"]) == count and int(content["steps"].sum()) == len(content["values"])

    return cached(
        stem=f"folder-{kind}",
        key=hashlib.sha256(key.encode()).hexdigest(),
        beside=root,
        make=lambda: decode(kind, classes, settings),
        fits=fits,
    )


def stamp(file: Path) -> str:
    """Changes when the file does."""
    try:
        status = file.stat()
    except OSError as error:
        raise DataError.of(f"{file}: cannot be read: {error.strerror}", "mend or remove it") from error
    return f"{status.st_size}:{status.st_mtime_ns}"


def decode(kind: str, classes: Classes, settings: FolderSettings) -> Content:
    """Raises DataError naming the files that cannot be read."""
    digest = hashlib.sha256(json.dumps([VERSION, kind, settings]).encode())
    problems: list[Problem] = []
    found: list[tuple[Path, Tensor]] = []
    cut = 0
    everything = [(name, file) for name, files in classes.items() for file in files]
    for name, file in counted(everything, f"reading {kind}", len(everything)):
        try:
            data = file.read_bytes()
            if kind == "images":
                values = read_image(data, settings.image_size)
            elif kind == "recordings":
                values, more = read_recording(data, settings.frames)
                cut += more
            else:
                values, rows = read_table(data, file.suffix, settings.max_steps)
                cut += rows > settings.max_steps
        except UNREADABLE as error:
            problems.append(Problem(f"{file}{reason(error)}", "mend this file, or remove it"))
            continue
        digest.update(hashlib.sha256(json.dumps([name, file.name]).encode() + data).digest())
        found.append((file, values))
    if kind == "tables":
        problems += widths_at_odds(found)
    if problems:
        raise DataError(*first(problems))
    sequences = [values for _, values in found]
    if kind == "images":
        channels = 1 if all(map(is_grey, sequences)) else 3
        sequences = [rows_of(image, channels) for image in sequences]
    return {
        "values": torch.cat(sequences),
        "steps": torch.tensor([len(sequence) for sequence in sequences]),
        "cut": cut,
        "fingerprint": digest.hexdigest(),
    }


def widths_at_odds(found: list[tuple[Path, Tensor]]) -> list[Problem]:
    """A problem for each table that has not as many columns as the first."""
    return [
        Problem(
            f"{file}: {values.shape[1]} columns, but {found[0][0]} has {found[0][1].shape[1]}",
            "give all files the same columns",
        )
        for file, values in found
        if values.shape[1] != found[0][1].shape[1]
    ]
