"""MovieTweetings: from its two files, whole or broken, to tasks of one user each; small files, and the real ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from metalstm import registry
from metalstm.config.fields import typed
from metalstm.datasets.base import Dataset
from metalstm.datasets.text import movietweetings
from metalstm.datasets.text.movietweetings import Crowd, load_movietweetings
from metalstm.datasets.text.movietweetings_files import Rating, read_table
from metalstm.datasets.text.tokens import TokenSettings, encode
from metalstm.errors import Problem
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.sampler import TaskSampler, TaskShape
from support.datasets import pools, refusal, same_classes
from support.places import CONFIGS, shared_data

GENRES = ["Drama", "Comedy|War", "Western"]
FILMS = [f"{n:07}::War of Word{n} (19{50 + 3 * n})::{GENRES[n % 3]}" for n in range(12)]
# Ten users of three films not liked and three liked; each film is rated by five of them.
RATINGS = [
    f"{user}::{(user + film) % 12:07}::{(4, 6, 7, 8, 9, 10)[film]}::{1_000 * user + 10 * film}"
    for user in range(10, 20)
    for film in range(6)
]
PLAIN = {"subwords": False, "min_count": 1}
SIDES = ["not liked", "liked"]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A folder with the two files, of lines given."""

    def written(
        ratings: list[str] = RATINGS, films: list[str] = FILMS, folder: str = "tweets", end: str = "\n"
    ) -> Path:
        root = tmp_path / folder
        root.mkdir(parents=True, exist_ok=True)
        for name, lines in (("ratings.dat", ratings), ("movies.dat", films)):
            (root / name).write_bytes("".join(line + end for line in lines).encode())
        return root

    return written


def load(root: Path | None, min_ratings: int = 3, **settings: Any) -> Dataset:
    names = ("split_seed", "examples", "crowd")
    given = {name: settings.pop(name) for name in names if name in settings}
    return load_movietweetings(root, min_ratings=min_ratings, settings=TokenSettings(**settings), **given)


def users_of(pool: ClassDataset) -> list[str]:
    return [name.partition("/")[0] for name in pool.names[::2]]


def side(pool: ClassDataset, user: str, which: str = "liked") -> torch.Tensor:
    """What a pool has of a user's films on one side."""
    return pool.examples[pool.names.index(f"{user}/{which}")]


def again(users: list[str], value: Callable[[int], int], ratings: list[str] = RATINGS) -> list[str]:
    """The ratings with the values of some users' changed."""
    rows = [line.split("::") for line in ratings]
    return ["::".join([u, f, str(value(int(v))) if u in users else v, t]) for u, f, v, t in rows]


failing = partial(refusal, load)


@pytest.fixture
def texts_read(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Receives, of each split that is made from then on, the words and tags of the films of each class."""
    seen: list[Any] = []
    monkeypatch.setattr(movietweetings, "encode", lambda texts, words: seen.append(texts) or encode(texts, words))
    return seen


# Splits and tasks


def test_splits_are_of_users_and_a_class_is_one_side_of_a_user(write: Callable[..., Path]) -> None:
    dataset = load(write())
    found = pools(dataset)
    assert [pool.classes for pool in found.values()] == [14, 2, 4]
    assert sorted(user for pool in found.values() for user in users_of(pool)) == [str(user) for user in range(10, 20)]
    for pool in found.values():
        assert pool.together == 2
        assert pool.names == [f"{user}/{side}" for user in users_of(pool) for side in SIDES]
        assert pool.counts is not None
        assert pool.counts.tolist() == [3] * pool.classes
    assert (dataset.name, dataset.kind, dataset.steps, dataset.outputs, dataset.images) == (
        *("movietweetings", "classification", None, None, False),
    )
    assert dataset.description.startswith(
        "7 / 1 / 2 users with 3 films liked and as many not; 60 ratings of 12 films by 10 users in all; "
    )


def test_a_task_is_a_user_and_the_second_label_is_liked(write: Callable[..., Path]) -> None:
    pool = pools(load(write()))["meta_train"]
    batch = pool.sample(30, TaskShape(2, 1, 2), torch.Generator().manual_seed(0))
    assert batch.classes is not None
    assert len({*map(tuple, batch.classes.tolist())}) > 4
    for task in range(30):
        not_liked, liked = batch.classes[task].tolist()
        assert pool.names[not_liked].replace("not liked", "liked") == pool.names[liked]
        for inputs, label in zip(batch.query.inputs[task], batch.query.targets[task].tolist(), strict=True):
            assert any(torch.equal(inputs, example) for example in pool.examples[(not_liked, liked)[label]])


def test_another_seed_another_permutation_whatever_the_order_of_the_file(write: Callable[..., Path]) -> None:
    root = write()
    tests = {tuple(users_of(pools(load(root, split_seed=seed))["meta_test"])) for seed in range(5)}
    assert len(tests) > 2
    turned, dataset = load(write(RATINGS[::-1], FILMS[::-1], "turned")), load(root)
    assert turned.fingerprint == dataset.fingerprint
    assert all(same_classes(pools(turned)[name], pool) for name, pool in pools(dataset).items())


@pytest.mark.parametrize(("count", "sizes"), [(3, [1, 1, 1]), (4, [2, 1, 1]), (10, [7, 1, 2])])
def test_numbers_of_users(count: int, sizes: list[int], write: Callable[..., Path]) -> None:
    few = [line for line in RATINGS if int(line[:2]) < 10 + count]
    assert [pool.classes // 2 for pool in pools(load(write(few))).values()] == sizes


def test_users_with_too_few_films_on_a_side_are_left_out(write: Callable[..., Path]) -> None:
    lines = again(["12"], lambda value: 9 if value == 7 else value)  # two films not liked, four liked
    found = pools(load(write(lines)))
    assert "12" not in [user for pool in found.values() for user in users_of(pool)]
    assert sum(pool.classes for pool in found.values()) == 18
    message = failing(write(lines), min_ratings=4)
    assert "0 users with 4 films liked and as many not, but the splits take 3" in message
    assert "smaller dataset.min_ratings" in message


def test_the_first_films_by_time_are_used(write: Callable[..., Path], texts_read: list[Any]) -> None:
    dataset = load(write(RATINGS[::-1]), examples=2, crowd=False, min_count=1)
    assert all(pool.examples.shape[1] == 2 for pool in pools(dataset).values())
    assert pools(dataset)["meta_test"].smallest()[1] == 2
    for split, texts in zip(pools(dataset).values(), texts_read, strict=True):
        for user, not_liked, liked in zip(users_of(split), texts[::2], texts[1::2], strict=True):
            for films, first in ((not_liked, 0), (liked, 3)):
                assert [text[-1] for text in films] == [f"word{(int(user) + first + n) % 12}" for n in range(2)]


def test_the_last_rating_of_a_film_counts(write: Callable[..., Path]) -> None:
    later = write([*RATINGS, "10::0000010::9::10000", "11::0000011::9::1"], folder="later")  # at the same time; before
    expected = again(["10"], lambda value: 9 if value == 4 else value)
    expected[0] = "10::0000010::9::10000"
    dataset = load(later, min_ratings=2)
    assert dataset.fingerprint == load(write(expected), min_ratings=2).fingerprint
    assert dataset.fingerprint != load(write(), min_ratings=2).fingerprint
    assert "60 ratings of 12 films by 10 users in all, 2 rated again;" in dataset.description


# Films as tokens


def test_a_film_is_its_genres_its_decade_what_the_crowd_thinks_and_its_title(
    write: Callable[..., Path], texts_read: list[Any]
) -> None:
    dataset = load(write(), min_count=1)
    assert dataset.features == 5
    train, pool = texts_read[0], pools(dataset)["meta_train"]
    user = users_of(pool)[0]
    film = (int(user) + 3) % 12  # the first that the user liked
    text = train[1][0]
    genres = [f"genre {genre}" for genre in GENRES[film % 3].split("|")]
    assert text[: len(genres) + 1] == [*genres, f"decade {(1950 + 3 * film) // 10 * 10}"]
    assert [word.split()[0] for word in text[len(genres) + 1 : -3]] in (["raters", "mean"], ["raters"])
    assert text[-3:] == ["war", "of", f"word{film}"]
    assert pool.lengths is not None
    assert int(pool.lengths[1, 0]) == len(text)
    held = pool.examples[1, 0]
    assert (held[: len(text) - 3, 0] > 0).all()
    assert not held[: len(text) - 3, 1:].any()  # a tag has no n-grams
    assert (held[len(text) - 3 : len(text), 1] > 0).all()
    assert not held[len(text) :].any()
    plain = load(write(), crowd=False)
    assert pools(plain)["meta_train"].lengths[1, 0] == len(genres) + 4  # type: ignore[index]


def test_a_genre_is_no_word_of_a_title(write: Callable[..., Path]) -> None:
    films = [line.replace("Word1 ", "War ").replace("Western", "War") for line in FILMS]
    pool = pools(load(write(films=films), crowd=False, **PLAIN))["meta_train"]
    for example in pool.examples.flatten(0, 1):
        steps = example[:, 0]
        war_in_title = steps[int((steps > 0).sum()) - 3]
        assert war_in_title not in steps[:2]


def test_films_of_meta_test_alone_have_no_tokens_of_their_own(write: Callable[..., Path]) -> None:
    before = load(write(), **PLAIN)
    tests = users_of(pools(before)["meta_test"])
    strange = "9999999::Strange Matter (2031)::Opera"
    lines = [*RATINGS, *(f"{user}::9999999::10::1" for user in tests)]
    after = load(write(lines, [*FILMS, strange], "strange"), **PLAIN)
    assert after.vocabulary == before.vocabulary
    assert same_classes(pools(after)["meta_train"], pools(before)["meta_train"])
    unknown = before.vocabulary - 1
    first = side(pools(after)["meta_test"], tests[0])[0, :, 0]  # the first by time: opera, 2030s, no raters, two words
    assert first[:2].tolist() == [0, 0]
    assert first[3:5].tolist() == [unknown, unknown]


def test_the_settings_of_tokens(write: Callable[..., Path]) -> None:
    root = write()
    tags = 4 + 4  # genres and decades
    plain = load(root, crowd=False, **PLAIN)
    words = {f"word{(int(user) + n) % 12}" for user in users_of(pools(plain)["meta_train"]) for n in range(6)}
    assert plain.vocabulary == 1 + tags + len(words) + len({"war", "of"}) + 1
    assert load(root, crowd=False, subwords=False).vocabulary == 1 + tags + 2 + 1  # words that occur in two films
    assert load(root, crowd=False, subwords=False, min_count=99).vocabulary == 1 + tags + 1
    ngrams = load(root, crowd=False, ngram_buckets=50, ngrams_per_word=7)
    assert (ngrams.vocabulary, ngrams.features) == (1 + tags + 2 + 50, 8)
    cut = pools(load(root, crowd=False, max_words=1))["meta_train"]
    whole = pools(load(root, crowd=False))["meta_train"]
    assert cut.lengths is not None
    assert whole.lengths is not None
    assert torch.equal(cut.lengths, whole.lengths - 2)


# What the crowd thinks


def test_the_crowd_says_how_many_others_rated_a_film_and_how() -> None:
    crowd = Crowd(
        {
            "a": {"x": Rating(10, 0), "y": Rating(3, 0)},
            "b": {"x": Rating(7, 0)},
            **{f"c{n}": {"x": Rating(6, 0)} for n in range(3)},
        }
    )
    assert crowd.tags("z", "x") == ["raters 4", "mean 7.0"]  # 35 / 5
    assert crowd.tags("a", "x") == ["raters 4", "mean 6.0"]  # 25 / 4
    assert crowd.tags("b", "x") == ["raters 4", "mean 7.0"]  # 28 / 4
    assert crowd.tags("z", "y") == ["raters 1", "mean 3.0"]
    assert crowd.tags("a", "y") == crowd.tags("z", "never rated") == ["raters none"]
    assert Crowd({"a": {"x": Rating(0, 0)}}).tags("z", "x") == ["raters 1", "mean 0.0"]


def test_a_users_own_rating_is_not_told(write: Callable[..., Path], texts_read: list[Any]) -> None:
    user = users_of(pools(load(write()))["meta_train"])[0]
    load(write(again([user], lambda value: 10 if value >= 8 else 0), folder="changed"))
    before, after = texts_read[0], texts_read[3]  # meta-train's
    assert before[:2] == after[:2]  # both sides of the user
    assert before[2:] != after[2:]  # whose ratings others are told


def test_nothing_is_told_of_what_users_held_out_think(write: Callable[..., Path]) -> None:
    before = load(write())
    others = users_of(pools(before)["meta_validation"]) + users_of(pools(before)["meta_test"])
    after = load(write(again(others, lambda value: 10 if value >= 8 else 0), folder="changed"))
    assert all(same_classes(pools(after)[name], pool) for name, pool in pools(before).items())


def test_users_of_no_split_are_told_of(write: Callable[..., Path], texts_read: list[Any]) -> None:
    before = load(write())
    many = [f"{user}::{film:07}::10::1" for user in range(90, 98) for film in range(12)]  # no film not liked: no tasks
    after = load(write([*RATINGS, *many], folder="many"))
    assert [pool.names for pool in pools(after).values()] == [pool.names for pool in pools(before).values()]
    raters = [
        {tag for side in split for text in side for tag in text if tag.startswith("raters")} for split in texts_read
    ]
    assert all(told == {"raters 8"} for told in raters[3:])  # 8 to 13
    assert "raters 8" not in set().union(*raters[:3])


# What is odd, and counted


def test_odd_films_and_ratings_are_taken_and_counted(write: Callable[..., Path], texts_read: list[Any]) -> None:
    films = [*FILMS[:-3], "0000009::$::", "0000010::Film::Noir (2001)::", "0000011::Soon (????)::Drama"]
    dataset = load(write([*RATINGS, "10::7777777::5::1"], films), crowd=False)
    assert (
        "60 ratings of 12 films by 10 users in all, 1 ratings of unknown films left out, 2 films without a genre, "
        "2 films without a year;"
    ) in dataset.description
    texts = [text for split in texts_read for texts in split for text in texts]
    for text in (
        ["genre none", "decade none"],
        ["genre none", "decade 2000", "film", "noir"],
        ["genre Drama", "decade none", "soon"],
    ):
        assert text in texts


@pytest.mark.parametrize("end", ["\r\n", "\n\n", " \n"])
def test_ends_of_lines(end: str, write: Callable[..., Path]) -> None:
    root = write(folder="odd", end=end)
    (root / "movies.dat").write_bytes(b"\xef\xbb\xbf" + (root / "movies.dat").read_bytes())  # as an editor may add
    assert load(root).fingerprint == load(write()).fingerprint


def test_titles_without_a_word_in_meta_test(write: Callable[..., Path]) -> None:
    assert "0.0% of the words" in load(write(films=[f"{line[:7]}::?::" for line in FILMS])).description


# Fingerprints


def test_the_fingerprint_is_of_the_content_wherever_it_lies(write: Callable[..., Path]) -> None:
    root = write(folder="elsewhere/latest")
    assert {load(place).fingerprint for place in (root, root.parent)} == {load(write()).fingerprint}


@pytest.mark.parametrize(
    "setting",
    [
        *({"split_seed": 1}, {"examples": 2}, {"crowd": False}, {"min_count": 3}, {"subwords": False}),
        *({"ngram_buckets": 4095}, {"ngrams_per_word": 11}, {"max_words": 2}),
    ],
)
def test_the_fingerprint_changes_with_each_setting(setting: dict[str, Any], write: Callable[..., Path]) -> None:
    root = write()
    assert load(root, **setting).fingerprint != load(root).fingerprint


def test_the_fingerprint_changes_with_a_word_a_user_or_a_side(write: Callable[..., Path]) -> None:
    changes = {
        "word": ([line.replace("Word7", "Other") for line in FILMS], RATINGS),
        "user": (FILMS, [line.replace("13::", "31::", 1) for line in RATINGS]),
        "every title": ([line.replace("War of", "Wap of") for line in FILMS], RATINGS),  # whose tokens are the same
        "side": (FILMS, again(["13"], lambda value: {4: 8, 8: 4}.get(value, value))),
    }
    prints = {load(write(ratings, films, name), **PLAIN).fingerprint for name, (films, ratings) in changes.items()}
    assert len(prints | {load(write(), **PLAIN).fingerprint}) == 5


# What is wrong with the data


def test_missing_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = failing(tmp_path / "nowhere")
    assert f"{tmp_path / 'nowhere'}: no such folder" in message
    assert "put ratings.dat and movies.dat of https://" in message
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert f"{tmp_path / 'xdg' / 'metalstm' / 'movietweetings'}: no such folder" in failing(None)
    assert "dataset.root" in failing(Path("~nobody-is-called-so/x"))


def test_the_users_own_folder(write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    write(folder="xdg/metalstm/movietweetings/latest")
    assert load(None).fingerprint == load(write()).fingerprint


def test_empty_folder_and_a_file_in_its_place(tmp_path: Path) -> None:
    assert f"{tmp_path}: ratings.dat and movies.dat missing: 0 of 2 files found" in failing(tmp_path)
    (tmp_path / "file").touch()
    assert "file: not a folder" in failing(tmp_path / "file")


@pytest.mark.parametrize("name", ["ratings.dat", "movies.dat"])
def test_one_file_missing(name: str, write: Callable[..., Path]) -> None:
    root = write(folder="tweets/latest")
    (root / name).unlink()
    assert f"{root}: {name} missing: 1 of 2 files found" in failing(root.parent)


def test_several_editions(write: Callable[..., Path]) -> None:
    for name in ("10K", "20K"):
        root = write(folder=f"snapshots/{name}")
    message = failing(root.parent)
    assert "several folders hold ratings.dat and movies.dat: 10K, 20K" in message
    assert load(root).fingerprint == load(write()).fingerprint


def test_unreadable_folder(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root = write()

    def scandir(path: Path) -> Any:  # tests may run as root, whom no permission bit stops
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", scandir)
    assert f"{root}: cannot be read: Permission denied" in failing(root)


def test_a_folder_in_a_files_place(write: Callable[..., Path]) -> None:
    root = write()
    (root / "movies.dat").unlink()
    (root / "movies.dat").mkdir()
    message = failing(root)
    assert "movies.dat: cannot be read: Is a directory" in message
    assert message.count("error:") == 1  # that all films are unknown says nothing more


@pytest.mark.parametrize(
    ("name", "line", "named"),
    [
        ("ratings.dat", b"10::0000001::8", "line 3 is no user::movie::rating::time: '10::0000001::8'"),
        ("ratings.dat", b"10,0000001,8,1", "line 3 is no user::movie::rating::time"),
        ("ratings.dat", b"10::0000001::8::1::2", "line 3 is no user::movie::rating::time"),
        ("ratings.dat", b"::0000001::8::1", "line 3 is no user::movie::rating::time"),
        ("ratings.dat", b"10::0000001::eight::1", "line 3 is no user::movie::rating::time"),
        ("ratings.dat", b"10::0000001::7.5::1", "line 3 is no user::movie::rating::time"),
        ("ratings.dat", b"10::0000001::-1::1", "line 3 is no user::movie::rating::time"),
        ("ratings.dat", "10::0000001::²::1".encode(), "line 3 is no user::movie::rating::time"),
        ("ratings.dat", b"10::0000001::8::", "line 3 is no user::movie::rating::time"),
        ("ratings.dat", b"10::0000001::11::1", "line 3 has rating 11, but the best is 10"),
        ("ratings.dat", b"10::0000001::" + b"9" * 5000 + b"::1", "line 3 has rating 999999999"),
        ("ratings.dat", b"\xff\xfe1\x000\x00", "line 3 is not UTF-8"),
        ("movies.dat", "0000099::Amélie (2001)::Comedy".encode("latin1"), "line 3 is not UTF-8: b'0000099::Am\\xe9lie"),
        ("movies.dat", b"0000099::No Genres (2001)", "line 3 is no movie::title (year)::genre|genre"),
        ("movies.dat", b"::No Number (2001)::Drama", "line 3 is no movie::title (year)::genre|genre"),
        ("movies.dat", b"0000000::Again (2001)::Drama", "line 3 lists film 0000000, as line 1 does"),
    ],
)
def test_broken_lines(name: str, line: bytes, named: str, write: Callable[..., Path]) -> None:
    root = write()
    lines = (root / name).read_bytes().splitlines()
    (root / name).write_bytes(b"\n".join([*lines[:2], line, *lines[2:]]))
    message = failing(root)
    assert f"{root / name}: {named}" in message
    assert message.count("error:") == 1
    assert sorted(os.listdir(root)) == ["movies.dat", "ratings.dat"]


def test_all_problems_at_once_and_many_of_a_kind_summed_up(write: Callable[..., Path]) -> None:
    message = failing(write([*RATINGS, *["broken"] * 9], [*FILMS, "broken"]))
    assert message.count("is no user::movie::rating::time") == 5
    assert "ratings.dat: 4 more such lines" in message
    assert "movies.dat: line 13 is no movie" in message


@pytest.mark.parametrize("name", ["ratings.dat", "movies.dat"])
def test_empty_files(name: str, write: Callable[..., Path]) -> None:
    root = write()
    (root / name).write_bytes(b"")
    assert "0 users with 3 films liked and as many not" in failing(root)


# Settings


def test_settings_of_the_yaml_file_are_the_defaults(write: Callable[..., Path]) -> None:
    path = CONFIGS / "dataset" / "movietweetings.yaml"
    if not path.exists():
        pytest.skip("the YAML files are in the repository")
    values = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(values, dict)
    lines = [f"{user}::{film:07}::{9 if film % 2 else 2}::{film}" for user in range(9) for film in range(120)]
    films = [f"{film:07}::One two three four five six seven eight nine {film}::Drama" for film in range(120)]
    root = write(lines, films, "many")

    def made(**changes: Any) -> Dataset:
        problems: list[Problem] = []
        given = typed(
            registry.settings_class("dataset", "movietweetings"),
            values | {"root": str(root)} | changes,
            "dataset.",
            problems,
        )  # type: ignore[operator]
        assert problems == []
        return given.load()

    assert made().fingerprint == load_movietweetings(root).fingerprint
    assert pools(made())["meta_train"].examples.shape[1] == 50
    other = {"split_seed": 1, "min_ratings": 60, "examples": 3, "crowd": False, "max_words": 2, "subwords": False}
    settings = TokenSettings(max_words=2, subwords=False)
    assert made(**other).fingerprint == load_movietweetings(root, 1, 60, 3, False, settings).fingerprint


# The real data


def test_real_movietweetings() -> None:
    real = shared_data("movietweetings")
    dataset = load_movietweetings(real)
    found = pools(dataset)
    assert [pool.classes // 2 for pool in found.values()] == [607, 86, 173]
    table = read_table(real)
    assert (len(table.films), len(table.ratings), table.unknown, table.repeated) == (10_506, 16_554, 0, 0)
    assert sum(len(films) for films in table.ratings.values()) == 100_000
    assert "100,000 ratings of 10,506 films by 16,554 users in all, 66 films without a genre;" in dataset.description
    assert min(pool.smallest()[1] for pool in found.values()) == 8
    for pool in found.values():
        assert pool.lengths is not None
        assert pool.counts is not None
        there = torch.arange(pool.examples.shape[1]) < pool.counts.unsqueeze(-1)
        assert int(pool.lengths[there].min()) >= 4  # a genre, a decade, a word or raters, and more
        assert int(pool.examples.max()) < dataset.vocabulary
    batch = TaskSampler(found["meta_test"], TaskShape(2, 5, 3), 4, 0, "meta_test")(0)
    assert batch.support.inputs.shape == (4, 10, int(batch.support.lengths.max()), 5)
    assert sum(pool.examples.nbytes for pool in found.values()) < 170e6
