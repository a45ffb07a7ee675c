"""Folders of a person's own files: listed, each file of one known kind, hidden ones left out."""

from __future__ import annotations

import logging
import os
import stat
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from metalstm.errors import DataError, Problem, first_few

log = logging.getLogger(__name__)

KINDS = {
    "images": (".png", ".jpg", ".jpeg", ".bmp"),
    "recordings": (
        *(".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
        *(".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64"),
    ),
    "tables": (".csv", ".npy"),
    "texts": (".txt",),
}
LISTED = "; ".join(f"{kind} {' '.join(suffixes)}" for kind, suffixes in KINDS.items())
NESTED = (
    "move its files up, or away; where each holds a class, give it one level: {0}/{1} as {0}_{1}; "
    "folders of splits are named train, val and test"
)
SYSTEM = {
    "__MACOSX",
    "__pycache__",
    "lost+found",
    "@eaDir",
    "$RECYCLE.BIN",
    "System Volume Information",
}  # hold no data
Classes = dict[str, list[Path]]  # files by class, both in order of their names


def kind_of(path: Path) -> str | None:
    return next((kind for kind, suffixes in KINDS.items() if path.suffix.lower() in suffixes), None)


def find_classes(root: Path, kind: str | None = None) -> tuple[str, Classes]:
    """Return the kind of all files, and those of each class: a sub-folder.

    Args:
        root: the folder with the classes' folders.
        kind: that files have to be of; None: any, the same for all.

    Raises:
        DataError: with every problem found.
    """
    return files_of(root, {folder.name: folder for folder in sub_folders(root)}, kind)


def sub_folders(root: Path) -> list[Path]:
    """Return the visible sub-folders.

    Raises:
        DataError: there are none.
    """
    problems: list[Problem] = []
    folders, beside = entries(root, problems)
    if problems:
        raise DataError(*first_few(problems))
    if not folders:
        found = f"{len(beside)} files, but no sub-folders" if beside else "empty"
        raise DataError.of(f"{root}: {found}", "make a sub-folder for each class, and put its files into it")
    return folders


def files_of(root: Path, folders: Mapping[str, Path], kind: str | None = None, least: int = 1) -> tuple[str, Classes]:
    """Return the kind of all files, and those in each class's folder, at least so many; see `find_classes`."""
    problems: list[Problem] = []
    classes: Classes = {}
    nested: list[Path] = []
    for name, folder in folders.items():
        inner, files = entries(folder, problems)
        nested += inner
        classes[name] = files
    problems += [
        Problem(f"{each}: a folder in a class's folder", NESTED.format(each.parent.name, each.name)) for each in nested
    ]
    kept = of_one_kind(root, [file for files in classes.values() for file in files], kind, problems)
    for name, files in classes.items():
        classes[name] = [file for file in files if kind_of(file) is not None]
        if len(classes[name]) < least and not any(str(folders[name]) in problem.what for problem in problems):
            what = f"{folders[name]}: no examples in this folder, {len(files)} files of no known kind"
            problems.append(Problem(what, f"put examples into it ({LISTED}), or remove it"))
    if problems:
        raise DataError(*first_few(problems))
    return kept, classes


def find_files(root: Path, kind: str) -> list[Path]:
    """All files under a folder, in it or in its sub-folders; each of one kind.

    Raises:
        DataError: with every problem found, or there is none.
    """
    problems: list[Problem] = []
    files: list[Path] = []
    left = [root]
    seen: set[tuple[int, int]] = set()
    while left:
        folder = left.pop()
        inner, here = entries(folder, problems)
        files += here
        for each in inner:
            status = each.stat()
            if (status.st_dev, status.st_ino) in seen:
                problems.append(Problem(f"{each}: a link back to a folder met before", "remove this link"))
            else:
                seen.add((status.st_dev, status.st_ino))
                left.append(each)
    of_one_kind(root, files, kind, problems)
    found = sorted(file for file in files if kind_of(file) is not None)
    if not found and not problems:
        problems.append(Problem(f"{root}: no {kind} found", f"put files into it: {' '.join(KINDS[kind])}"))
    if problems:
        raise DataError(*first_few(problems))
    return found


def entries(folder: Path, problems: list[Problem]) -> tuple[list[Path], list[Path]]:
    """Return the visible folders and files in a folder, by name; what cannot be read is added to `problems`."""
    folders: list[Path] = []
    files: list[Path] = []
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith(".") and name not in SYSTEM)
    except FileNotFoundError:
        problems.append(Problem(f"{folder}: no such folder", "name a folder that exists"))
        return [], []
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        problems.append(Problem(f"{folder}: cannot be read as a folder: {said}", "name a folder that can be read"))
        return [], []
    for name in names:
        path = folder / name
        try:
            mode = path.stat().st_mode
        except OSError as error:
            problems.append(Problem(f"{path}: cannot be read: {error.strerror}", "mend or remove it"))
            continue
        if stat.S_ISDIR(mode):
            folders.append(path)
        elif stat.S_ISREG(mode):
            files.append(path)
        else:
            problems.append(Problem(f"{path}: neither a file nor a folder", "remove it"))
    return folders, files


def of_one_kind(root: Path, files: list[Path], wanted: str | None, problems: list[Problem]) -> str:
    """Return the kind of the files; those of no known kind are said to be left out."""
    counts = Counter(kind_of(file) for file in files)
    unknown = [file for file in files if kind_of(file) is None]
    if unknown:
        log.warning("%s: %d files of no known kind are left out, such as %s", root, len(unknown), unknown[0])
    kinds = [kind for kind in KINDS if counts[kind]]
    if wanted is not None:
        for file in [file for file in files if kind_of(file) not in (None, wanted)]:
            given = f"give {' '.join(KINDS[wanted])}"
            problems.append(Problem(f"{file}: one of {kind_of(file)}, but the run reads {wanted}", given))
        return wanted
    if len(kinds) > 1:
        mix = ", ".join(f"{counts[kind]} {kind}" for kind in kinds)
        problems.append(Problem(f"{root}: files of several kinds: {mix}", "keep the files of one kind in this folder"))
    if not kinds:
        problems.append(Problem(f"{root}: no examples in its {len(files)} files", f"put files into it: {LISTED}"))
    return kinds[0] if kinds else ""
