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

from metalstm.datasets.audio.recordings import common_rate, count_rates, said_of_rates
from metalstm.datasets.audio.speech_features import read_recording
from metalstm.datasets.files.cache import Content, cached
from metalstm.datasets.files.folders import Classes
from metalstm.datasets.files.reader import UNREADABLE, Read, broken, said_together
from metalstm.datasets.own.columns import Settled, settle
from metalstm.datasets.own.folder_readers import ReadingSettings, as_steps, is_grey, read_image, read_table, rows_of
from metalstm.datasets.own.tables import Table, TableSettings, table_content
from metalstm.errors import DataError, Problem, first_few
from metalstm.files.writing import read_bounded
from metalstm.runtime.progress import counted

VERSION = 1  # part of the fingerprint and of the cache's key: to be raised when files are read in another way
CACHE = 3  # part of the cache's key alone: to be raised when its content has another form
CONTENT = {"values", "steps", "cut", "fingerprint", "rate", "said", "warnings", "columns", "notes", "hints"}

log = logging.getLogger(__name__)


def read_all(root: Path, kind: str, classes: Classes, settings: ReadingSettings, tables: TableSettings) -> Content:
    """All examples, from the cache where the same files have been read before.

    Returns:
        `values` [all steps of all examples, F], uint8 or float32; `steps` [N] int64 of each example; `cut`, how many
        were longer; a `fingerprint` of the files' content; of tables the `columns`, `notes` on them, and `hints`; of
        recordings `rate`, at which their frames are made, and `said`, how far up these go; `warnings` are logged.

    Raises:
        DataError: naming the files that cannot be read, or have other columns.
    """
    listed = [(name, [(file.name, stamp(file)) for file in files]) for name, files in classes.items()]
    key = json.dumps([CACHE, VERSION, kind, settings, tables, listed])
    count = sum(map(len, classes.values()))

    def fits(content: Content) -> bool:
        if content.keys() != CONTENT:
            return False
        return len(content["steps"]) == count and int(content["steps"].sum()) == len(content["values"])

    content = cached(
        stem=f"folder-{kind}",
        key=hashlib.sha256(key.encode()).hexdigest(),
        beside=root,
        make=lambda: decode(kind, classes, settings, tables),
        fits=fits,
    )
    for warning in content["warnings"]:
        log.warning("%s", warning)
    return content


def stamp(file: Path) -> str:
    """Return a file's size and time of change as one text."""
    try:
        status = file.stat()
    except OSError as error:
        raise DataError.of(f"{file}: cannot be read: {error.strerror}", "mend or remove it") from error
    return f"{status.st_size}:{status.st_mtime_ns}"


def decode(kind: str, classes: Classes, settings: ReadingSettings, tables: TableSettings) -> Content:
    """Read every file of every class into padded arrays.

    Raises:
        DataError: with each file that cannot be read.
    """
    digest = hashlib.sha256(json.dumps([VERSION, kind, settings]).encode())
    problems: list[Problem] = []
    found: list[tuple[Path, Read]] = []
    raw: list[tuple[Path, Table]] = []
    everything = [(name, file) for name, files in classes.items() for file in files]
    rates = count_rates(file for _, file in everything) if kind == "recordings" else Counter[int]()
    for name, file in counted(everything, f"reading {kind}", len(everything)):
        try:
            data = content_of(file, settings.max_steps)
            how = ""
            if kind == "tables":
                raw.append((file, read_table(data, file.suffix, settings.max_steps, tables)))
            else:
                read = read_file(data, kind, settings, common_rate(rates))
                found.append((file, read))
                how = read.how
            digest.update(digest_of(json.dumps([name, file.name]).encode(), file) + how.encode())
        except UNREADABLE as error:
            problems.append(broken(file, error))
    settled: Settled | None = None
    if raw and not problems:
        settled = settle_or_refuse(raw, tables)
        found, problems = in_columns(raw, settled, settings.max_steps)
        if settled.changes or tables != TableSettings():
            digest.update(json.dumps([settled.changes, tables]).encode())
    if problems:
        raise DataError(*first_few(problems))
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
        "columns": None if settled is None else tuple(settled.columns),
        "notes": [] if settled is None else settled.notes,
        "hints": [] if settled is None else settled.hints,
    }


def read_file(data: bytes, kind: str, settings: ReadingSettings, rate: int) -> Read:
    """Read an image or a recording; `rate` is that of the recordings' frames."""
    return read_image(data, settings.image_size) if kind == "images" else read_recording(data, settings.frames, rate)


def content_of(file: Path, rows: int) -> bytes:
    """As much of a file as is read."""
    return table_content(file, rows) if file.suffix.lower() == ".csv" else read_bounded(file)


def digest_of(name: bytes, file: Path) -> bytes:
    """Return a digest of a file's name and content, which may be larger than memory."""
    digest = hashlib.sha256(name)
    with file.open("rb") as opened:
        while part := opened.read(2**20):
            digest.update(part)
    return digest.digest()


def settle_or_refuse(raw: list[tuple[Path, Table]], tables: TableSettings) -> Settled:
    """Return the columns of all tables; `DataError` names the first file where they cannot be told."""
    try:
        return settle([table for _, table in raw], tables)
    except UNREADABLE as error:
        raise DataError(broken(raw[0][0], error)) from error


def in_columns(
    raw: list[tuple[Path, Table]], settled: Settled, rows: int
) -> tuple[list[tuple[Path, Read]], list[Problem]]:
    """Return the tables with their columns in order, and what is wrong with others."""
    whose = f"{next((file for file, table in raw if table.header is not None), raw[0][0])} has"
    found: list[tuple[Path, Read]] = []
    problems: list[Problem] = []
    for file, table in raw:
        try:
            values = settled.columns.of(table, whose)
            found.append((file, Read(as_steps(values, rows), more=len(values) > rows)))
        except UNREADABLE as error:
            problems.append(broken(file, error))
    return found, problems
