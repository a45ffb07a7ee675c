"""Omniglot's files, as zips or unpacked: found, counted and read; a zip is never unpacked to disk."""

from __future__ import annotations

import errno
import os
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from metalstm.errors import DataError, Problem
from metalstm.files.writing import read_at_most, read_bounded

LARGEST = 2**20  # bytes of an image, which has 200 or so
SUBFOLDER = "omniglot-py"  # where torchvision puts the data
FIX = (
    "put images_background.zip and images_evaluation.zip, or both unpacked, into this folder, "
    "or name another with dataset.root"
)


@dataclass(frozen=True)
class Counts:
    """How many characters there have to be, and how they are split."""

    images_background: int = 964  # characters, of 30 alphabets
    images_evaluation: int = 659  # characters, of 20 other alphabets
    per_character: int = 20  # images, each by another drawer
    meta_train: int = 1100  # characters, of the random split
    meta_validation: int = 100  # characters, of either split

    @property
    def parts(self) -> dict[str, int]:
        return {"images_background": self.images_background, "images_evaluation": self.images_evaluation}

    @property
    def characters(self) -> int:
        return self.images_background + self.images_evaluation


class Entry(NamedTuple):
    """One image file of a character."""

    file: str
    member: str  # its path inside the zip or the folder
    stamp: str  # changes when the file does: size with CRC or time of change


@dataclass(frozen=True)
class Part:
    """The images of the background or of the evaluation set, characters and files in sorted order."""

    path: Path  # a zip or a folder
    characters: dict[str, list[Entry]]  # by alphabet/character

    @contextmanager
    def opened(self) -> Iterator[Callable[[str], bytes]]:
        """Open a function that reads a member's bytes.

        Raises (the function):
            OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error: the member is broken, or too large.
        """
        if self.path.is_dir():
            yield lambda member: read_bounded(self.path / member, LARGEST)
        else:
            with zipfile.ZipFile(self.path) as archive:
                yield lambda member: read_member(archive, member)


def read_member(archive: zipfile.ZipFile, member: str) -> bytes:
    """Unpack a member, as much of it as it says that it has."""
    with archive.open(member) as file:
        return read_at_most(file, archive.getinfo(member).file_size, LARGEST)


def present(root: Path) -> dict[str, list[Path]]:
    """For each part the zips and folders that may hold it, zips first: they read faster.

    Raises:
        DataError: the root is not a folder, or cannot be read.
    """
    there: set[Path] = set()
    for folder in (root, root / SUBFOLDER):
        try:
            there.update(folder / name for name in os.listdir(folder))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DataError.of(f"{folder}: cannot be read: {error.strerror}", FIX) from error
    return {
        part: [
            path
            for folder in (root, root / SUBFOLDER)
            for path in (folder / f"{part}.zip", folder / part)
            if path in there
        ]
        for part in Counts().parts
    }


def find_parts(root: Path, counts: Counts) -> list[Part]:
    """Return the background and the evaluation set, each from the first place where it is whole.

    Raises:
        DataError: for each part that is nowhere whole: what was found and what is wanted.
    """
    parts: list[Part] = []
    problems: list[Problem] = []
    found = present(root)
    fix = FIX if any(found.values()) else f"{FIX}, or set dataset.download=true"
    for (name, places), wanted in zip(found.items(), counts.parts.values(), strict=True):
        here: list[Problem] = []
        for place in places:
            try:
                part = _listed(place, name)
                _check_complete(part, wanted, counts.per_character)
            except DataError as error:
                here.extend(error.problems)
            else:
                parts.append(part)
                break
        else:
            state = f"neither {name}.zip nor {name}/ is there" if root.is_dir() else "no such folder"
            problems.extend(here or [Problem(f"{root}: {state}: 0 of {wanted} characters found", fix)])
    if problems:
        raise DataError(*problems)
    return parts


def _listed(path: Path, name: str) -> Part:
    """Return the image files of a zip or folder.

    Raises:
        DataError: it cannot be read, is no whole zip, or has entries outside itself.
    """
    characters: dict[str, list[Entry]] = {}
    try:
        if path.suffix == ".zip" and not path.is_file():
            raise OSError(errno.EINVAL, "no file", str(path))
        for member, stamp in _zip_members(path) if path.suffix == ".zip" else _folder_members(path):
            inside = member.removeprefix(f"{name}/")
            *folders, file = inside.split("/")
            if len(folders) != 2 or inside.startswith((".", "__MACOSX/")) or "/." in inside:  # what macOS adds
                continue
            entries = characters.setdefault("/".join(folders), [])
            if file.lower().endswith(".png"):
                entries.append(Entry(file, member, stamp))
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise DataError.of(f"{path}: truncated or not a zip: {error}", "fetch this zip again") from error
    except OSError as error:
        raise DataError.of(f"{error.filename or path}: cannot be read: {error.strerror or error}", FIX) from error
    return Part(path, {character: sorted(characters[character]) for character in sorted(characters)})


def _zip_members(path: Path) -> Iterator[tuple[str, str]]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    outside = [m.filename for m in members if _leads_outside(m.filename)]
    if outside:
        raise DataError.of(
            f"{path}: {len(outside)} entries lie outside its folder, the first is {outside[0]!r}",
            "do not use this zip; fetch Omniglot from its authors",
        )
    for member in members:
        yield member.filename, f"{member.file_size}:{member.CRC}"


def _leads_outside(name: str) -> bool:
    up = ".." in name and ".." in re.split(r"[/\\]", name)
    return up or name.startswith(("/", "\\")) or name[1:2] == ":"


def _folder_members(path: Path) -> Iterator[tuple[str, str]]:
    """Every character's folder (with a slash at the end, as in a zip) and the files in it."""
    for alphabet in _subfolders(path):
        for character in _subfolders(path / alphabet):
            folder = f"{alphabet}/{character}/"
            yield folder, ""
            with os.scandir(path / folder) as files:
                for file in files:
                    if not file.is_file():  # reading a pipe would never end
                        continue
                    status = file.stat()
                    yield folder + file.name, f"{status.st_size}:{status.st_mtime_ns}"


def _subfolders(path: Path) -> list[str]:
    with os.scandir(path) as entries:
        return [entry.name for entry in entries if entry.is_dir()]


def _check_complete(part: Part, wanted: int, per_character: int) -> None:
    """Judged by content and not by a checksum: the same images may have been packed anew."""
    odd = {name: len(files) for name, files in part.characters.items() if len(files) != per_character}
    complete = len(part.characters) - len(odd)
    if complete == wanted and not odd:
        return
    images = sum(len(files) for files in part.characters.values())
    example = "".join(f"; {name} has {found} of {per_character}" for name, found in list(odd.items())[:1])
    raise DataError.of(
        f"{part.path}: {complete} of {wanted} characters are complete, "
        f"{images} of {wanted * per_character} images found{example}",
        "unpack or fetch it again" if complete < wanted else "remove what is not part of Omniglot",
    )
