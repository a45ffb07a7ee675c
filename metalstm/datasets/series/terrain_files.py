"""Wheel logs of a robot, a folder of `pro_*.csv` for each terrain: found, read and checked."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import torch
from torch import Tensor

from metalstm.errors import DataError, Problem, first_few
from metalstm.files.writing import read_bounded

COLUMNS = ("curL", "curR", "velL", "velR")  # of the left and right motors: current, A, and speed of the wheels, m/s
RATE = 6.5  # rows a second
LARGEST = 2**26  # bytes of a log: a day of rows has 40 MB
FASTEST = 1e6  # A or m/s: what is not smaller was not measured
SUBFOLDERS = ("", "data/borealtc")  # where the terrains are in a copy of the data, and in the authors' repository
SOURCE = "https://github.com/norlab-ulaval/BorealTC"
FIX = (
    f"put the terrains' folders of {SOURCE}, each with its pro_*.csv, into this folder or its data/borealtc/, "
    "or name another folder with dataset.root"
)
MEND = f"mend or remove this log, or fetch it again from {SOURCE}"

Logs = dict[str, dict[str, Tensor]]  # by terrain and by file, both in order of their names: [N, 4] float32, as COLUMNS


def read_logs(root: Path) -> Logs:
    """All wheel logs of each terrain; a row is 1 / RATE seconds after the one before.

    Args:
        root: the folder of the data, with the terrains' folders in it or in its `data/borealtc/`.

    Raises:
        DataError: nothing is there, a terrain has no wheel log, or logs are broken: the file and line of each.
    """
    try:
        for place in (root / subfolder for subfolder in SUBFOLDERS):
            files = {name: _csv_files(place / name) for name in _folders(place)}
            terrains = {name: [file for file in there if file.startswith("pro_")] for name, there in files.items()}
            if any(terrains.values()):
                break
        else:
            state = "no folder in it holds a wheel log" if root.is_dir() else "no such folder"
            raise DataError.of(f"{root}: {state}: 0 terrains found", FIX)
    except OSError as error:
        raise DataError.of(f"{error.filename or root}: cannot be read: {error.strerror or error}", FIX) from error
    found = f"{sum(map(bool, terrains.values()))} of {sum(map(bool, files.values()))} terrains have wheel logs"
    empty = [
        Problem(f"{place / name}: holds no pro_*.csv ({found})", "unpack the data again, or remove this folder")
        for name in terrains
        if files[name] and not terrains[name]
    ]
    broken: list[Problem] = []
    logs: Logs = {name: {} for name, there in terrains.items() if there}
    for name in logs:
        for file in terrains[name]:
            try:
                logs[name][file] = read_log(place / name / file)
            except OSError as error:
                broken.append(Problem(f"{place / name / file}: cannot be read: {error.strerror or error}", MEND))
            except (ValueError, csv.Error) as error:
                broken.append(Problem(f"{place / name / file}: {error}", MEND))
    if empty or broken:
        raise DataError(*first_few(empty, "terrains have none"), *first_few(broken, "logs are broken"))
    return logs


def _folders(place: Path) -> list[str]:
    """Return the folders of a place, sorted, but for hidden ones; none where there is no such place."""
    try:
        with os.scandir(place) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _csv_files(folder: Path) -> list[str]:
    return sorted(file for file in os.listdir(folder) if file.lower().endswith(".csv"))


def read_log(path: Path) -> Tensor:
    """Return the rows of a log, [N, 4] float32.

    Raises:
        ValueError, csv.Error: saying what is wrong with the file, and on which line.
        OSError: it cannot be read.
    """
    rows: list[list[float]] = []
    before = None
    with io.StringIO(read_bounded(path, LARGEST).decode(), newline="") as file:
        lines = csv.reader(file)
        header = [name.strip() for name in next(lines, [])]
        missing = [name for name in ("time", *COLUMNS) if name not in header]
        if missing:
            raise ValueError(f"line 1: column {', '.join(missing)} missing" if header else "empty")
        places = [header.index(name) for name in ("time", *COLUMNS)]
        for row in filter(None, lines):
            where = f"line {lines.line_num}"
            if len(row) != len(header):
                raise ValueError(f"{where}: {len(row)} fields, but there are {len(header)} columns")
            try:
                time, *values = (float(row[place]) for place in places)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
            if not all(abs(value) < FASTEST for value in values):  # nor is it when one is not a number
                raise ValueError(f"{where}: no currents and speeds: {','.join(row)[:60]}")
            if before is not None and not 0.5 < (time - before) * RATE < 1.5:
                raise ValueError(
                    f"{where}: time goes from {before:g} to {time:g} s, but rows are {1 / RATE:.3f} s apart"
                )
            before = time
            rows.append(values)
    if not rows:
        raise ValueError("no rows")
    return torch.tensor(rows)
