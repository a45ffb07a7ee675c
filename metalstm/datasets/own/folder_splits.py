"""The split that each class belongs to: as folders or a file say, or by a permutation."""

from __future__ import annotations

import csv
import json
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from metalstm.config.text import pasted
from metalstm.datasets.files.folders import entries, sub_folders
from metalstm.datasets.files.reader import UNREADABLE, reason
from metalstm.datasets.splits import Shares, split_randomly
from metalstm.datasets.text.texts import as_text
from metalstm.errors import DataError, Problem, first_few
from metalstm.files.paths import expanded
from metalstm.tasks.classes import SPLITS

log = logging.getLogger(__name__)

FEWEST = 2  # classes of a split: telling them apart takes two
WORDS = {  # for a split, in a folder's name or a file
    "meta_train": ("train", "training", "meta_train", "metatrain", "meta_training", "base"),
    "meta_validation": ("val", "valid", "validation", "dev", "meta_val", "meta_validation", "metaval"),
    "meta_test": ("test", "testing", "meta_test", "metatest", "meta_testing", "novel"),
}
HEADINGS = ("split", "set", "subset", "partition", "fold")  # of the second column of a csv file
FORMS = 'json {"train": [classes], "val": [...], "test": [...]}, or csv with a line "class,split" for each class'
Chosen = dict[str, list[str]]  # the classes of each split, in order


class SplitSettings(NamedTuple):
    """Which classes there are, and how they are dealt out."""

    split_seed: int = 0  # which permutation of the classes
    least: int = 5  # classes of a split, where there are enough
    min_examples: int | None = None  # classes with fewer are left out; None: none
    split_file: str | None = None  # in the folder, or an absolute path; None: there is none


def split_of(word: str) -> str | None:
    """Return the split that a word stands for."""
    plain = re.sub(r"[- ]", "_", word.strip().casefold())
    plain = re.sub(r"_?(set|split|data|images|classes)$|^(images|data)_", "", plain)
    return next((split for split, words in WORDS.items() if plain in words), None)


def class_folders(root: Path) -> tuple[dict[str, Path], dict[str, str] | None]:
    """Return the folder of each class; and its split, where the folders are sub-folders of train, val and test.

    Raises:
        DataError: a class is in two splits, a split is missing, or there are folders beside them.
    """
    folders = sub_folders(root)
    if len(folders) == 1 and has_folders(folders[0]) and not split_of(folders[0].name):
        what = f"{root}: a single folder, {folders[0].name}, in which there are others"
        raise DataError.of(what, f"name that folder: {pasted('dataset.root', folders[0])}")
    halves = {folder: split for folder in folders if (split := split_of(folder.name)) and has_folders(folder)}
    if not halves or (len(set(halves.values())) < 2 and len(halves) < len(folders)):
        return {folder.name: folder for folder in folders}, None
    problems = [
        Problem(f"{folder}: no folders of classes in it", "put its classes' folders into it")
        if split_of(folder.name)
        else Problem(f"{folder}: beside folders of splits, but of none", "move it into one of them, or away")
        for folder in folders
        if folder not in halves
    ]
    there = {split_of(folder.name) for folder in folders}
    if missing := [split for split in SPLITS if split not in there]:
        names = ", ".join(folder.name for folder in halves)
        fix = "add " + " and ".join(f"a folder {WORDS[split][0]}" for split in missing)
        problems.append(Problem(f"{root}: split folders {names}, but none of {' and '.join(missing)}", fix))
    found: dict[str, Path] = {}
    given: dict[str, str] = {}
    for half, split in halves.items():
        for folder in sub_folders(half):
            if given.setdefault(folder.name, split) != split or folder.name in found:
                what = f"{folder}: class '{folder.name}' is in {found[folder.name].parent.name} as well"
                fix = (
                    "meta-test takes classes that are new: give each to one split, or put all its files into one folder"
                )
                problems.append(Problem(what, fix))
            found.setdefault(folder.name, folder)
    if problems:
        raise DataError(*first_few(problems))
    return found, given


def has_folders(folder: Path) -> bool:
    """Whether a folder has visible sub-folders."""
    return bool(entries(folder, [])[0])


def large_enough(root: Path, sizes: Mapping[str, int], least: int | None) -> list[str]:
    """Return the classes with examples enough; the others are said to be left out.

    Raises:
        DataError: a class has none, or no class has as many as are asked for.
    """
    kept = [name for name, size in sizes.items() if size >= (least or 1)]
    small = [name for name, size in sizes.items() if size < (least or 1)]
    if small and least is None:
        fix = "add examples, or leave out small classes: dataset.min_examples=2"
        raise DataError(
            *first_few([Problem(f"{root}: class '{name}' has no examples, no line with a word", fix) for name in small])
        )
    if not kept:
        most = max(sizes.values())
        fix = f"use dataset.min_examples={most} at most" if most >= 2 else "add examples to the classes"
        raise DataError.of(f"{root}: no class has dataset.min_examples={least}", fix)
    if small:
        such = f"such as '{small[0]}' with {sizes[small[0]]}"
        log.warning("%d classes with fewer than %s examples are left out, %s", len(small), least, such)
    return kept


def deal(root: Path, names: list[str], given: Mapping[str, str] | None, settings: SplitSettings) -> Chosen:
    """Return the classes of each split.

    Args:
        root: the folder of the data.
        names: of the classes.
        given: the split of each class, where the folders say it.
        settings: how the others are dealt out.

    Raises:
        DataError: there are too few.
    """
    if settings.split_file is not None:
        if given is not None:
            fix = "leave dataset.split_file out, or move the classes' folders up"
            raise DataError.of(f"dataset.split_file={settings.split_file}, but {root} has folders of splits", fix)
        given = read_split_file(root / expanded(settings.split_file, "dataset.split_file"), names)
        if unnamed := [name for name in names if name not in given]:
            such = f"such as '{unnamed[0]}'"
            log.warning("%d classes that dataset.split_file does not name are left out, %s", len(unnamed), such)
    if given is not None:
        chosen = {split: [name for name in names if given.get(name) == split] for split in SPLITS}
        few = [split for split in SPLITS if len(chosen[split]) < FEWEST]
        if few:
            counts = ", ".join(f"{len(chosen[split])} of {split}" for split in SPLITS)
            raise DataError.of(f"{root}: classes {counts}, but each split needs {FEWEST}", "give it further classes")
        return chosen
    if len(names) < FEWEST * len(SPLITS):
        raise DataError.of(
            f"{root}: {len(names)} classes found, but the splits need {FEWEST * len(SPLITS)}, {FEWEST} in each, "
            "in folders train, val and test as well",
            "add folders of further classes, or name another folder with dataset.root; a few classes alone are learned "
            "by a run trained on others of their kind: metalstm-adapt run=<run> support=<folder> query=<folder>",
        )
    least = min(max(FEWEST, settings.least), len(names) // len(SPLITS))
    return split_randomly(names, Shares(0.15, 0.25, least, round), settings.split_seed, "folder")


def read_split_file(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the split of each class, as a file says; classes that it does not name are left out.

    Raises:
        DataError: it cannot be read, or names classes that there are not, or one twice.
    """
    try:
        text = as_text(path.read_bytes())
        pairs = pairs_of_json(text) if path.suffix.lower() == ".json" else pairs_of_csv(text)
    except UNREADABLE as error:
        raise DataError.of(f"dataset.split_file={path}{reason(error)}", f"give {FORMS}") from error
    given: dict[str, str] = {}
    problems: list[Problem] = []
    there = set(names)
    for name, word in pairs:
        split = split_of(word)
        if split is None:
            problems.append(Problem(f"{path}: class '{name}' is of split '{word}'", "use train, val or test"))
        elif given.setdefault(name, split) != split:
            problems.append(Problem(f"{path}: class '{name}' is of {given[name]} and of {split}", "name it once"))
        if name not in there:
            problems.append(Problem(f"{path}: class '{name}' has no folder, or is left out", "remove it from the file"))
    if problems:
        raise DataError(*first_few(problems))
    return given


def pairs_of_json(text: str) -> list[tuple[str, str]]:
    """Pairs of class and split: from the classes of each split, or the split of each class."""
    content = json.loads(text, object_pairs_hook=without_repeats)
    if not isinstance(content, dict):
        raise ValueError(f"it is no mapping, but a {type(content).__name__}")
    pairs = []
    for name, value in content.items():
        if isinstance(value, str):
            pairs.append((name, value))
        elif isinstance(value, list) and all(isinstance(one, str) for one in value):
            pairs += [(one, name) for one in value]
        else:
            raise ValueError(f"'{name}' stands for neither a split nor a list of classes")
    return pairs


def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a mapping of JSON; `ValueError` where a name stands in it twice, of which only the last would count."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands in it more than once")
    return found


def pairs_of_csv(text: str) -> list[tuple[str, str]]:
    """Pairs of class and split, from lines `class,split`, with semicolons or tabs as well; a header has no split."""
    lines = [line for line in text.splitlines() if line.strip()]
    separator = max(",;\t", key=lambda each: lines[0].count(each) if lines else 0)
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    for number, row in enumerate(rows, start=1):
        if len(row) != 2:
            raise ValueError(f"entry {number} has {len(row)} cells, not a class and its split")
    pairs = [(name, word) for name, word in rows]
    return pairs[1:] if pairs and pairs[0][1].casefold() in HEADINGS else pairs
