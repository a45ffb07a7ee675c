"""CLINC150's two files, found, read and checked: which intents a domain has, and the words of their queries."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metalstm.datasets.text.tokens import words
from metalstm.errors import DataError, Problem, first_few, first_names
from metalstm.files.writing import read_bounded

QUERIES, DOMAINS = "data_full.json", "domains.json"
PARTS = ("train", "val", "test")  # of the authors' split; their out-of-scope queries stand under other names
SOURCE = "https://github.com/clinc/oos-eval"
FIX = f"put {QUERIES} and {DOMAINS} of {SOURCE} into this folder, or name another with dataset.root"
MEND = f"fetch it again from {SOURCE}"
FEWEST_DOMAINS = 3  # one for each split
LARGEST = 2**28  # bytes of a file: a hundred times what the larger has

Domains = dict[str, list[str]]  # intents by domain, both in order
Queries = dict[str, list[list[str]]]  # by intent, in order: the words of each query, in the order of the file


def find_folder(root: Path) -> Path:
    """Return the root or its `data/`, whichever holds both files.

    Raises:
        DataError: neither does, or the root cannot be read.
    """
    missing: dict[Path, list[str]] = {}
    for folder in (root, root / "data"):
        try:
            there = os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError) as error:
            if folder == root:
                what = "no such folder" if isinstance(error, FileNotFoundError) else "not a folder"
                raise DataError.of(f"{root}: {what}", FIX) from error
            continue
        except OSError as error:
            raise DataError.of(f"{folder}: cannot be read: {error.strerror}", FIX) from error
        missing[folder] = [name for name in (QUERIES, DOMAINS) if name not in there]
        if not missing[folder]:
            return folder
    nearest = min(missing, key=lambda folder: len(missing[folder]))
    names = " and ".join(missing[nearest])
    raise DataError.of(f"{nearest}: {names} missing: {2 - len(missing[nearest])} of 2 files found", FIX)


def read_intents(folder: Path, max_words: int | None = None) -> tuple[Domains, Queries]:
    """All intents by domain, and their queries as words, the first `max_words` of each.

    Raises:
        DataError: with every problem found.
    """
    problems: list[Problem] = []
    contents = [_read_json(folder / name, problems) for name in (DOMAINS, QUERIES)]
    domains = {} if contents[0] is None else _domains(folder / DOMAINS, contents[0], problems)
    queries: Queries = {}
    if contents[1] is not None:
        for intent, text in _rows(folder / QUERIES, contents[1], problems):
            queries.setdefault(intent, []).append(text[:max_words])
    if not problems:
        known = {intent for intents in domains.values() for intent in intents}
        for names, what in (
            (sorted(queries.keys() - known), f"{folder / DOMAINS}: in no domain"),
            (sorted(known - queries.keys()), f"{folder / QUERIES}: without a query"),
        ):
            if names:
                problems.append(Problem(f"{what}: {len(names)} intents: {first_names(names)}", MEND))
    if problems:
        raise DataError(*problems)
    return domains, {intent: queries[intent] for intent in sorted(queries)}


def _read_json(path: Path, problems: list[Problem]) -> Any:
    """None where there is a problem."""
    try:
        content = json.loads(read_bounded(path, LARGEST))
    except OSError as error:
        problems.append(Problem(f"{path}: cannot be read: {error.strerror}", FIX))
    except (ValueError, RecursionError) as error:
        problems.append(Problem(f"{path}: truncated or not JSON: {error}", MEND))
    else:
        if isinstance(content, dict):
            return content
        problems.append(Problem(f"{path}: no mapping, but a {type(content).__name__}", MEND))
    return None


def _domains(path: Path, content: dict[str, Any], problems: list[Problem]) -> Domains:
    homes: dict[str, list[str]] = defaultdict(list)
    for domain, intents in content.items():
        if not isinstance(intents, list) or not all(isinstance(intent, str) for intent in intents):
            problems.append(Problem(f"{path}: domain '{domain}' is no list of intents' names", MEND))
            continue
        if not intents:
            problems.append(Problem(f"{path}: domain '{domain}' has no intents", "remove it, or give it intents"))
        for intent in intents:
            homes[intent].append(domain)
    for intent, several in homes.items():
        if len(several) > 1:
            where = " and ".join(f"'{domain}'" for domain in several)
            problems.append(Problem(f"{path}: intent '{intent}' is in {where}", "name it in one domain, once"))
    if len(content) < FEWEST_DOMAINS:
        problems.append(Problem(f"{path}: {len(content)} domains, but splitting takes {FEWEST_DOMAINS}", MEND))
    return {domain: sorted(i for i, (home, *_) in homes.items() if home == domain) for domain in sorted(content)}


def _rows(path: Path, content: dict[str, Any], problems: list[Problem]) -> Iterator[tuple[str, list[str]]]:
    """Each query's intent and words, of all parts."""
    bad: list[str] = []
    for part in PARTS:
        rows = content.get(part)
        if not isinstance(rows, list):
            problems.append(Problem(f"{path}: '{part}' is {'no list' if part in content else 'missing'}", MEND))
            continue
        for number, row in enumerate(rows):
            if not isinstance(row, list) or len(row) != 2 or not all(isinstance(item, str) for item in row):
                bad.append(f"'{part}', entry {number} is no pair of a query and its intent: {repr(row)[:60]}")
            elif text := words(row[0]):
                yield row[1], text
            else:
                bad.append(f"'{part}', entry {number} ({row[1]}) has no words: {row[0]!r}")
    said = [Problem(f"{path}: {what}", "remove this entry, or mend it") for what in bad]
    problems += first_few(said, "such entries", MEND, where=f"{path}: ")
