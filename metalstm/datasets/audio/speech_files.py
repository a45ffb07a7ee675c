"""A folder of spoken keywords: a folder of recordings for each, found and listed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from metalstm.datasets.files.folders import kind_of
from metalstm.errors import DataError, Problem, first_few

SUBFOLDERS = ("dataset", "")  # where the keywords are in the Arabic data, and in Google's
NO_KEYWORD = ("_", ".", "background_noise")  # what the names of other folders begin with
FIX = (
    "unpack the data into this folder, a folder of recordings (wav, flac, mp3 ...) for each keyword, here or in "
    "dataset/, or name another folder with dataset.root"
)


class Recording(NamedTuple):
    """One sound file."""

    file: str
    path: Path
    stamp: str  # changes when the file does: size with time of change

    @property
    def speaker(self) -> str:
        """Who speaks: what stands before the first `_` of the name, in both sources."""
        return Path(self.file).stem.partition("_")[0]


Keywords = dict[str, list[Recording]]  # by name, both in order of their names


def find_keywords(root: Path, most: int | None) -> Keywords:
    """Return the recordings of each keyword.

    Args:
        root: the folder of the data, with the keywords' folders in it or in its `dataset/`.
        most: recordings of a keyword, the first ones; None: all.

    Raises:
        DataError: no keyword is there, one of them has no recording, or something cannot be read.
    """
    folders = 0
    try:
        for place in (root / subfolder for subfolder in SUBFOLDERS):
            keywords = {name: _recordings_in(place / name) for name in _folders(place)}
            folders += len(keywords)
            if any(keywords.values()):
                break
        else:
            state = f"{folders} folders without a recording" if root.is_dir() else "no such folder"
            raise DataError.of(f"{root}: {state}: 0 keywords found", FIX)
        empty = [name for name, files in keywords.items() if not files]
        if empty:
            found = f"{len(keywords) - len(empty)} of {len(keywords)} keywords have recordings"
            fix = "unpack the data again, or remove this folder"
            problems = [Problem(f"{place / name}: holds no recording ({found})", fix) for name in empty]
            raise DataError(*first_few(problems, "keywords have none"))
        return {name: [_recording(place / name / file) for file in files[:most]] for name, files in keywords.items()}
    except OSError as error:
        raise DataError.of(f"{error.filename or root}: cannot be read: {error.strerror or error}", FIX) from error


def _folders(place: Path) -> list[str]:
    """Return the folders that stand for keywords, sorted; none where there is no such place."""
    try:
        with os.scandir(place) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(NO_KEYWORD))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _recordings_in(folder: Path) -> list[str]:
    return sorted(
        file for file in os.listdir(folder) if kind_of(Path(file)) == "recordings" and not file.startswith(".")
    )


def _recording(path: Path) -> Recording:
    status = path.stat()
    return Recording(path.name, path, f"{status.st_size}:{status.st_mtime_ns}")
