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
from metalstm.datasets.columns import Settled, settle
from metalstm.datasets.counted import counted
from metalstm.datasets.files_by_kind import Classes, first
from metalstm.datasets.folder_readers import (
    FolderSettings,
    as_steps,
    is_grey,
    read_image,
    read_recording,
    read_table,
    rows_of,
)
from metalstm.datasets.reader import UNREADABLE, broken, whole_file
from metalstm.datasets.tables import Table, TableSettings, table_content
from metalstm.errors import DataError, Problem

VERSION = 1  # part of the fingerprint and of the cache's key: to be raised when files are read in another way
CACHE = 2  # part of the cache's key alone: to be raised when its content has another form


def read_all(root: Path, kind: str, classes: Classes, settings: FolderSettings, tables: TableSettings) -> Content:
    """All examples, from the cache where the same files have been read before.

    Returns:
        `values` [all steps of all examples, F], uint8 or float32; `steps` [N] int64 of each example; `cut`, how many
        were longer; a `fingerprint` of the files' content; of tables the `columns`, `notes` on them, and `hints`.

    Raises:
        DataError: naming the files that cannot be read, or have other columns.
    """
    listed = [(name, [(file.name, stamp(file)) for file in files]) for name, files in classes.items()]
    key = json.dumps([CACHE, VERSION, kind, settings, tables, listed])
    count = sum(map(len, classes.values()))

    def fits(content: Content) -> bool:
        if content.keys() != {"values", "steps", "cut", "fingerprint", "columns", "notes", "hints"}:
            return False
        return len(content["steps"]) == count and int(content["steps"].sum()) == len(content["values"])

    return cached(
        stem=f"folder-{kind}",
        key=hashlib.sha256(key.encode()).hexdigest(),
        beside=root,
        make=lambda: decode(kind, classes, settings, tables),
        fits=fits,
    )


def stamp(file: Path) -> str:
    """Changes when the file does."""
    try:
        status = file.stat()
    except OSError as error:
        raise DataError.of(f"{file}: cannot be read: {error.strerror}", "mend or remove it") from error
    return f"{status.st_size}:{status.st_mtime_ns}"


def decode(kind: str, classes: Classes, settings: FolderSettings, tables: TableSettings) -> Content:
    """Raises DataError naming the files that cannot be read."""
    digest = hashlib.sha256(json.dumps([VERSION, kind, settings]).encode())
    problems: list[Problem] = []
    read: list[tuple[Path, Tensor]] = []
    raw: list[tuple[Path, Table]] = []
    cut = 0
    everything = [(name, file) for name, files in classes.items() for file in files]
    for name, file in counted(everything, f"reading {kind}", len(everything)):
        try:
            data = content_of(file, settings.max_steps)
            if kind == "images":
                read.append((file, read_image(data, settings.image_size)))
            elif kind == "recordings":
                values, more = read_recording(data, settings.frames)
                read.append((file, values))
                cut += more
            else:
                raw.append((file, read_table(data, file.suffix, settings.max_steps, tables)))
            digest.update(digest_of(json.dumps([name, file.name]).encode(), file))
        except UNREADABLE as error:
            problems.append(broken(file, error))
    settled: Settled | None = None
    if raw and not problems:
        settled = settle_or_refuse(raw, tables)
        read, cut, problems = in_columns(raw, settled, settings.max_steps)
        if settled.changes or tables != TableSettings():
            digest.update(json.dumps([settled.changes, tables]).encode())
    if problems:
        raise DataError(*first(problems))
    sequences = [values for _, values in read]
    if kind == "images":
        channels = 1 if all(map(is_grey, sequences)) else 3
        sequences = [rows_of(image, channels) for image in sequences]
    return {
        "values": torch.cat(sequences),
        "steps": torch.tensor([len(sequence) for sequence in sequences]),
        "cut": cut,
        "fingerprint": digest.hexdigest(),
        "columns": None if settled is None else tuple(settled.columns),
        "notes": [] if settled is None else settled.notes,
        "hints": [] if settled is None else settled.hints,
    }


def content_of(file: Path, rows: int) -> bytes:
    """As much of a file as is read."""
    return table_content(file, rows) if file.suffix.lower() == ".csv" else whole_file(file)


def digest_of(name: bytes, file: Path) -> bytes:
    """A digest of a file's name and content, which may be larger than memory."""
    digest = hashlib.sha256(name)
    with file.open("rb") as opened:
        while part := opened.read(2**20):
            digest.update(part)
    return digest.digest()


def settle_or_refuse(raw: list[tuple[Path, Table]], tables: TableSettings) -> Settled:
    """The columns of all tables; `DataError` names the first file where they cannot be told."""
    try:
        return settle([table for _, table in raw], tables)
    except UNREADABLE as error:
        raise DataError(broken(raw[0][0], error)) from error


def in_columns(
    raw: list[tuple[Path, Table]], settled: Settled, rows: int
) -> tuple[list[tuple[Path, Tensor]], int, list[Problem]]:
    """The tables with their columns in order; how many are longer; and what is wrong with others."""
    whose = f"{next((file for file, table in raw if table.header is not None), raw[0][0])} has"
    read: list[tuple[Path, Tensor]] = []
    problems: list[Problem] = []
    cut = 0
    for file, table in raw:
        try:
            values = settled.columns.of(table, whose)
            read.append((file, as_steps(values, rows)))
            cut += len(values) > rows
        except UNREADABLE as error:
            problems.append(broken(file, error))
    return read, cut, problems
