"""MovieTweetings, Dooms et al. 2013: what a person likes, from a few films that they have rated."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from metalstm.config.fields import bounded
from metalstm.datasets.base import Dataset, FolderOfData
from metalstm.datasets.splits import Shares, split_randomly
from metalstm.datasets.text.movietweetings_files import Film, Rating, Table, find_folder, read_table
from metalstm.datasets.text.tokens import TokenSettings, Vocabulary, encode, is_tag, spelling
from metalstm.errors import DataError
from metalstm.files.paths import dataset_root
from metalstm.registry import register
from metalstm.tasks.classes import ClassDataset

LIKED = 8  # of 10: a rating from which on a film counts as liked
SIDES = ("not liked", "liked")  # a user's two classes
FEWEST_USERS = 3  # one for each split
SHARES = Shares(validation=0.1, test=0.2)
DEFAULT = TokenSettings(max_words=8)

Ratings = Mapping[str, Mapping[str, Rating]]  # by user and film


class Crowd:
    """What all users but those held out think of a film; each of them is told what the others think.

    A user of meta-validation or meta-test has no rating in the crowd; were a meta-train user's own rating in it, the
    model would learn to read off an answer that is not there in meta-test.

    Args:
        ratings: those of meta-train's users, and of the many with too few films for a task.
    """

    def __init__(self, ratings: Ratings) -> None:
        self.ratings = ratings
        self.totals: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        for films in ratings.values():
            for film, rating in films.items():
                self.totals[film] += rating.value
                self.counts[film] += 1

    def tags(self, user: str, film: str) -> list[str]:
        """How many others rated the film, between powers of two, and their mean, in halves of a point."""
        total, count = self.totals[film], self.counts[film]
        own = self.ratings.get(user, {}).get(film)
        if own is not None:
            total, count = total - own.value, count - 1
        if count == 0:
            return ["raters none"]
        return [f"raters {2 ** (count.bit_length() - 1)}", f"mean {math.floor(2 * total / count) / 2}"]


def load_movietweetings(
    root: Path | None,
    split_seed: int = 0,
    min_ratings: int = 8,
    examples: int | None = 50,
    crowd: bool = True,
    settings: TokenSettings = DEFAULT,
) -> Dataset:
    """MovieTweetings as tasks of two classes: the films that a user rated below 8 of 10, and the others.

    Splits are made of users: 70 / 10 / 20%, by a permutation; films are shared. A film is a sequence of tokens: its
    genres, its decade, how all users but those held out rated it, and the words of its title. A tag has a token of its
    own, which no word has, so that the genre War is not the word war. The vocabulary is of meta-train's films alone.

    Args:
        root: the folder with ratings.dat and movies.dat, itself or in a folder in it; None: the user's own.
        split_seed: which permutation of the users.
        min_ratings: how many films a user has to have rated on either side, to be a task.
        examples: films of a user on either side that are used, the first by time; None: all.
        crowd: whether it is told how others rated a film.
        settings: how titles become tokens.

    Raises:
        DataError: the data is missing, broken, or has too few users.
    """
    folder = find_folder(dataset_root(root, "movietweetings"))
    table = read_table(folder)
    sides = {user: both for user, films in table.ratings.items() if (both := _sides(films, min_ratings)) is not None}
    if len(sides) < FEWEST_USERS:
        raise DataError.of(
            f"{folder}: {len(sides)} users with {min_ratings} films liked and as many not, but the splits take "
            f"{FEWEST_USERS}",
            "use a smaller dataset.min_ratings, or name the folder of a larger edition with dataset.root",
        )
    users = split_randomly(sorted(sides), SHARES, split_seed, "movietweetings")
    held_out = {*users["meta_validation"], *users["meta_test"]}
    known = Crowd({user: films for user, films in table.ratings.items() if user not in held_out})
    titles = {name: film.title[: settings.max_words] for name, film in table.films.items()}
    used = {split: [[side[:examples] for side in sides[user]] for user in chosen] for split, chosen in users.items()}

    def tags(user: str, film: str) -> list[str]:
        return film_tags(table.films[film]) + (known.tags(user, film) if crowd else [])

    texts = {
        split: [
            [tags(user, film) + titles[film] for film in side]
            for user, both in zip(chosen, used[split], strict=True)
            for side in both
        ]
        for split, chosen in users.items()
    }
    films = {film for both in used["meta_train"] for side in both for film in side}
    learned = [[tag for tag in text if is_tag(tag)] for side in texts["meta_train"] for text in side]
    vocabulary = Vocabulary([*(titles[film] for film in films), *learned], settings)
    pools = {}
    for split, chosen in users.items():
        tokens, counts, lengths = encode(texts[split], vocabulary)
        names = [f"{user}/{side}" for user in chosen for side in SIDES]
        words = spelling(texts[split], vocabulary)
        pools[split] = ClassDataset(tokens, names, counts, lengths, together=len(SIDES), words=words)
    digest = hashlib.sha256(json.dumps([users, texts, crowd, settings]).encode())
    for pool in pools.values():
        digest.update(pool.examples.numpy().data)
    unknown = vocabulary.share_unknown(titles[film] for both in used["meta_test"] for side in both for film in side)
    return Dataset(
        name="movietweetings",
        splits=pools,
        features=vocabulary.width,
        fingerprint=digest.hexdigest(),
        description=f"{' / '.join(str(len(chosen)) for chosen in users.values())} users with {min_ratings} films liked "
        f"and as many not; {_left_out(table)}; {len(vocabulary.words):,} words and tags of meta-train, "
        f"{unknown:.1%} of the words in meta-test's titles not among them",
        vocabulary=vocabulary.size,
        unit="user",
    )


def film_tags(film: Film) -> list[str]:
    """Return a film's genres and its decade."""
    genres = [f"genre {genre}" for genre in film.genres] or ["genre none"]
    return [*genres, "decade none" if film.year is None else f"decade {film.year // 10 * 10}"]


def _sides(films: Mapping[str, Rating], min_ratings: int) -> tuple[list[str], list[str]] | None:
    """Return the films that a user did not like and those they did, by time; None where one side has too few."""
    by_time = sorted(films, key=lambda film: (films[film].time, film))
    liked = [film for film in by_time if films[film].value >= LIKED]
    others = [film for film in by_time if films[film].value < LIKED]
    return None if min(len(liked), len(others)) < min_ratings else (others, liked)


def _left_out(table: Table) -> str:
    """How much there is, and what was not used or is not known."""
    ratings = sum(len(films) for films in table.ratings.values())
    without = {
        "ratings of unknown films left out": table.unknown,
        "rated again": table.repeated,
        "films without a genre": sum(not film.genres for film in table.films.values()),
        "films without a year": sum(film.year is None for film in table.films.values()),
    }
    odd = "".join(f", {count:,} {what}" for what, count in without.items() if count)
    return f"{ratings:,} ratings of {len(table.films):,} films by {len(table.ratings):,} users in all{odd}"


@register("dataset", "movietweetings")
@dataclass(kw_only=True)
class MovieTweetingsSettings(FolderOfData):
    """The settings of MovieTweetings."""

    searched: ClassVar[frozenset[str]] = frozenset(("crowd", *TokenSettings._fields))

    split_seed: int = bounded(minimum=0, below=2**32)
    min_ratings: int = bounded(minimum=2)
    examples: int | None = bounded(minimum=2)
    crowd: bool
    min_count: int = bounded(minimum=1)
    subwords: bool
    ngram_buckets: int = bounded(minimum=1, maximum=2**20)
    ngrams_per_word: int = bounded(minimum=1, maximum=64)  # every step holds so many
    max_words: int | None = bounded(minimum=1)

    def load(self) -> Dataset:
        return load_movietweetings(
            self.folder, self.split_seed, self.min_ratings, self.examples, self.crowd, self.some(TokenSettings)
        )
