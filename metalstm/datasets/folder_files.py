"""All the images, recordings or tables of a person's folders, read once and kept in a cache.

Legend: N examples of all classes, F features.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from metalstm.datasets.cache import Content, cached
from metalstm.datasets.files_by_kind import Classes, first
from metalstm.datasets.folder_readers import FolderSettings, is_grey, read_image, read_table, rows_of
from metalstm.datasets.reader import UNREADABLE, Read, reason, said_together
from metalstm.datasets.recordings import common_rate, count_rates, said_of_rates
from metalstm.datasets.speech_features import read_recording
from metalstm.errors import DataError, Problem
from metalstm.files import read_bounded

VERSION = 1  # part of the fingerprint: to be raised when files are read in another way
CACHE_VERSION = 2  # part of the cache's key alone
CONTENT = {"values", "steps", "cut", "fingerprint", "rate", "said", "warnings"}

log = logging.getLogger(__name__)


def read_all(root: Path, kind: str, classes: Classes, settings: FolderSettings) -> Content:
    """All examples, from the cache where the same files have been read before.

    Returns:
        `values` [all steps of all examples, F], uint8 or float32; `steps` [N] int64 of each example; `cut`, how many
        were longer; and a `fingerprint` of the files' content. Of recordings `rate`, at which their frames are made,
        and `said`, how far up these go; `warnings` are logged.

    Raises:
        DataError: naming the files that cannot be read, or are not of the same width.
    """
    listed = [(name, [(file.name, stamp(file)) for file in files]) for name, files in classes.items()]
    key = json.dumps([VERSION, CACHE_VERSION, kind, settings, listed])
    count = sum(map(len, classes.values()))

    def fits(content: Content) -> bool:
        if content.keys() != CONTENT:
            return False
        return len(content["steps"]) == count and int(content["steps"].sum()) == len(content["values"])

    content = cached(
        stem=f"folder-{kind}",
        key=hashlib.sha256(key.encode()).hexdigest(),
        beside=root,
        make=lambda: decode(kind, classes, settings),
        fits=fits,
    )
    for warning in content["warnings"]:
        log.warning("%s", warning)
    return content


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
    found: list[tuple[Path, Read]] = []
    everything = [(name, file) for name, files in classes.items() for file in files]
    rates = count_rates(file for _, file in everything) if kind == "recordings" else Counter[int]()
    for name, file in tqdm(everything, desc=f"reading {kind}", unit=" files", disable=None):
        try:
            data = read_bounded(file)
            read = read_file(data, kind, file.suffix, settings, common_rate(rates))
        except UNREADABLE as error:
            problems.append(Problem(f"{file}{reason(error)}", "mend this file, or remove it"))
            continue
        digest.update(hashlib.sha256(json.dumps([name, file.name]).encode() + data).digest() + read.how.encode())
        found.append((file, read))
    if kind == "tables":
        problems += widths_at_odds([(file, read.values) for file, read in found])
    if problems:
        raise DataError(*first(problems))
    sequences = [read.values for _, read in found]
    if kind == "images":
        channels = 1 if all(map(is_grey, sequences)) else 3
        sequences = [rows_of(image, channels) for image in sequences]
    return {
        "values": torch.cat(sequences),
        "steps": torch.tensor([len(sequence) for sequence in sequences]),
        "cut": sum(read.more for _, read in found),
        "fingerprint": digest.hexdigest(),
        "rate": common_rate(rates),
        "said": said_of_rates(rates),
        "warnings": said_together([(file, read.note) for file, read in found]),
    }


def read_file(data: bytes, kind: str, suffix: str, settings: FolderSettings, rate: int) -> Read:
    """Read one file; `rate` is that of the recordings' frames."""
    if kind == "images":
        return read_image(data, settings.image_size)
    if kind == "recordings":
        return read_recording(data, settings.frames, rate)
    values, rows = read_table(data, suffix, settings.max_steps)
    return Read(values, rows > settings.max_steps)


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
