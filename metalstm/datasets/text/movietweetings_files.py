"""MovieTweetings' two files, found, read and checked: which films there are, and how users rated them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from metalstm.datasets.text.tokens import words
from metalstm.errors import DataError, Problem, first_few
from metalstm.files.writing import read_bounded

RATINGS, MOVIES = "ratings.dat", "movies.dat"
SOURCE = "https://github.com/sidooms/MovieTweetings"
FIX = f"put {RATINGS} and {MOVIES} of {SOURCE} into this folder, or name another with dataset.root"
MEND = f"mend or remove this line, or fetch the file again from {SOURCE}"
BEST = 10  # of ratings, which begin at 0
TITLE = re.compile(r"(?P<title>.*?)(?: \((?P<year>\d{4})\))?", re.DOTALL)
LARGEST = 2**28  # bytes of a file: ten times what the larger has


class Film(NamedTuple):
    """A film by itself."""

    title: list[str]  # words
    year: int | None
    genres: list[str]


class Rating(NamedTuple):
    """A user's rating of a film."""

    value: int  # 0..10
    time: int  # seconds since 1970


@dataclass
class Table:
    """All that the two files hold."""

    films: dict[str, Film] = field(default_factory=dict)
    ratings: dict[str, dict[str, Rating]] = field(default_factory=dict)  # by user and film
    unknown: int = 0  # ratings of films that are not listed, left out
    repeated: int = 0  # ratings of a film by a user who rated it again later, left out


def find_folder(root: Path) -> Path:
    """Return the root or the one folder in it that holds both files.

    Raises:
        DataError: none does, several do, or the root cannot be read.
    """
    try:
        with os.scandir(root) as entries:
            inside = sorted(Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith("."))
        found = {folder: [name for name in (RATINGS, MOVIES) if (folder / name).exists()] for folder in [root, *inside]}
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "no such folder" if isinstance(error, FileNotFoundError) else "not a folder"
        raise DataError.of(f"{root}: {what}", FIX) from error
    except OSError as error:
        raise DataError.of(f"{error.filename or root}: cannot be read: {error.strerror}", FIX) from error
    whole = [folder for folder, names in found.items() if len(names) == 2]
    if whole and (whole[0] == root or len(whole) == 1):
        return whole[0]
    if whole:
        several = ", ".join(folder.name for folder in whole)
        raise DataError.of(f"{root}: several folders hold {RATINGS} and {MOVIES}: {several}", "name one of them")
    nearest = max(found, key=lambda folder: len(found[folder]))
    missing = " and ".join(name for name in (RATINGS, MOVIES) if name not in found[nearest])
    raise DataError.of(f"{nearest}: {missing} missing: {len(found[nearest])} of 2 files found", FIX)


def read_table(folder: Path) -> Table:
    """All films, and all ratings of them, a user's last one of each.

    Raises:
        DataError: with every problem found, each with its file and line.
    """
    problems: list[Problem] = []
    table = Table()
    _read_films(folder / MOVIES, table, problems)
    _read_ratings(folder / RATINGS, table, problems)
    if problems:
        raise DataError(*problems)
    return table


def _read_films(path: Path, table: Table, problems: list[Problem]) -> None:
    bad: list[str] = []
    lines: dict[str, int] = {}
    for number, text in _lines(path, bad, problems):
        film, _, rest = text.partition("::")
        name, separator, genres = rest.rpartition("::")
        if not film or not separator:
            bad.append(f"line {number} is no movie::title (year)::genre|genre: {text[:60]!r}")
        elif film in lines:
            bad.append(f"line {number} lists film {film}, as line {lines[film]} does")
        else:
            lines[film] = number
            parts = TITLE.fullmatch(name)
            title, year = (name, None) if parts is None else parts.group("title", "year")
            kinds = [genre.strip() for genre in genres.split("|") if genre.strip()]
            table.films[film] = Film(words(title), None if year is None else int(year), list(dict.fromkeys(kinds)))
    _add(path, bad, problems)


def _read_ratings(path: Path, table: Table, problems: list[Problem]) -> None:
    bad: list[str] = []
    last: dict[tuple[str, str], Rating] = {}
    for number, text in _lines(path, bad, problems):
        user, *numbers = text.split("::")
        if not user or len(numbers) != 3 or not all(part.isascii() and part.isdigit() for part in numbers[1:]):
            bad.append(f"line {number} is no user::movie::rating::time: {text[:60]!r}")
            continue
        film, rating = numbers[0], Rating(int(numbers[1][:9]), int(numbers[2][:18]))
        if rating.value > BEST:
            bad.append(f"line {number} has rating {rating.value}, but the best is {BEST}")
        elif film not in table.films:
            table.unknown += 1
        else:
            before = last.get((user, film))
            table.repeated += before is not None
            if before is None or rating.time >= before.time:
                last[user, film] = rating
    for (user, film), rating in last.items():
        table.ratings.setdefault(user, {})[film] = rating
    _add(path, bad, problems)


def _lines(path: Path, bad: list[str], problems: list[Problem]) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty, by number."""
    try:
        content = read_bounded(path, LARGEST)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        problems.append(Problem(f"{path}: cannot be read: {said}", FIX))
        return
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        try:
            text = line.decode().strip()
        except UnicodeDecodeError:
            bad.append(f"line {number} is not UTF-8: {line[:60]!r}")
            continue
        if text:
            yield number, text


def _add(path: Path, bad: list[str], problems: list[Problem]) -> None:
    problems += first_few([Problem(f"{path}: {what}", MEND) for what in bad], "such lines", where=f"{path}: ")
