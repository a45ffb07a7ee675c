"""Which split a class belongs to: split folders, a split file, and classes that are left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from metalstm.datasets.base import Dataset
from metalstm.datasets.own.folder import load_folder
from metalstm.datasets.own.folder_splits import SplitSettings
from metalstm.errors import DataError
from metalstm.tasks.classes import ClassDataset

Add = Callable[..., Path]


@pytest.fixture
def add(tmp_path: Path) -> Add:
    """`add("train/a", "b", examples=3)` adds folders of classes with tables."""

    def added(*names: str, examples: int = 3) -> Path:
        for name in names:
            (tmp_path / name).mkdir(parents=True)
            for number in range(examples):
                (tmp_path / name / f"{number}.csv").write_text(f"{number},{len(name)}\n3,4.5\n")
        return tmp_path

    return added


def classes(dataset: Dataset) -> dict[str, list[str]]:
    return {split: pool.names for split, pool in dataset.splits.items() if isinstance(pool, ClassDataset)}


def refused(root: Path, **settings: object) -> str:
    with pytest.raises(DataError) as error:
        load_folder(root, SplitSettings(**settings))  # type: ignore[arg-type]
    return str(error.value)


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Meta-Train", "dev", "novel"), ("base", "valid", "testing")]
)
def test_split_folders(names: tuple[str, str, str], add: Add) -> None:
    train, validation, test = names
    root = add(f"{train}/a", f"{train}/b", f"{train}/c", f"{validation}/d", f"{validation}/e", f"{test}/f", f"{test}/g")
    found = classes(load_folder(root))
    assert found == {"meta_train": ["a", "b", "c"], "meta_validation": ["d", "e"], "meta_test": ["f", "g"]}


def test_split_folders_that_are_refused(add: Add) -> None:
    root = add("train/a", "train/b", "test/c", "test/a")
    said = refused(root)
    assert "split folders test, train, but none of meta_validation\n  fix: add a folder val" in said
    assert "class 'a' is in test as well" in said
    add("val/d", "more/e")
    assert "more: beside folders of splits" in refused(root)


def test_each_split_needs_two_classes(add: Add) -> None:
    root = add("train/a", "train/b", "val/c", "test/d", "test/e")
    assert "classes 2 of meta_train, 1 of meta_validation, 2 of meta_test, but each split needs 2" in refused(root)


def test_classes_may_have_the_names_of_splits(add: Add) -> None:
    root = add("train", "bus", "car", "tram", "test", "ship")
    assert sum(map(len, classes(load_folder(root)).values())) == 6


GIVEN = {"train": ["a", "b"], "val": ["c", "d"], "test": ["f", "e"]}
CSV = "class,split\n" + "".join(f"{name},{split}\n" for split, names in GIVEN.items() for name in names)
EACH = {name: split for split, names in GIVEN.items() for name in names}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("splits.json", json.dumps(GIVEN)),
        ("splits.json", json.dumps(EACH)),
        ("splits.csv", CSV),
        ("splits.csv", "\ufeff" + CSV.partition("\n")[2]),
    ],
)
def test_split_files(file: str, content: str, add: Add, tmp_path: Path) -> None:
    root = add(*"abcdefg")  # g is in no split
    (tmp_path / file).write_text(content)
    for name in (file, str(tmp_path / file)):
        found = classes(load_folder(root, SplitSettings(split_file=name)))
        assert found == {"meta_train": ["a", "b"], "meta_validation": ["c", "d"], "meta_test": ["e", "f"]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        ("{", "cannot be read"),
        ('["a"]', "it is no mapping, but a list"),
        ('{"train": 5}', "'train' stands for neither"),
        ('{"practice": ["a"]}', "class 'a' is of split 'practice'"),
        ('{"train": ["a"], "val": ["a"]}', "class 'a' is of meta_train and of meta_validation"),
        ('{"train": ["z"]}', "class 'z' has no folder"),
        ('{"train": ["a", "b"]}', "classes 2 of meta_train, 0 of meta_validation"),
    ],
)
def test_split_files_that_are_refused(content: str | None, words: str, add: Add, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "s.json").write_text(content)
    assert words in refused(add(*"abcdef"), split_file="s.json")


def test_small_classes_are_left_out_and_counted(add: Add, caplog: pytest.LogCaptureFixture) -> None:
    add(*"abcdef")
    root = add("small", "tiny", examples=1)
    add("without", examples=0)
    found = classes(load_folder(root, SplitSettings(min_examples=2)))
    assert sorted(name for names in found.values() for name in names) == list("abcdef")
    assert "3 classes with fewer than 2 examples are left out, such as 'small' with 1" in caplog.text
    assert "no class has dataset.min_examples=9\n  fix: use dataset.min_examples=3 at most" in refused(
        root, min_examples=9
    )


def test_small_classes_of_texts(tmp_path: Path) -> None:
    for name in "abcdefg":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text(f"word {name}\n" * (1 if name == "g" else 3))
    found = classes(load_folder(tmp_path, SplitSettings(min_examples=2)))
    assert sorted(name for names in found.values() for name in names) == list("abcdef")


def test_too_few_classes_name_what_can_be_done(add: Add) -> None:
    said = refused(add(*"abcde"))
    assert "5 classes found, but the splits need 6" in said
    assert "metalstm-adapt run=<run> support=<folder> query=<folder>" in said


def test_nested_classes_are_named(add: Add) -> None:
    said = refused(add("Latin/a", "Latin/b", "Greek/a"))
    assert "Latin/a: a folder in a class's folder" in said
    assert "where each holds a class, give it one level: Latin/a as Latin_a" in said


def test_other_names_of_split_folders(add: Add) -> None:
    root = add("training_set/a", "training_set/b", "val-images/c", "val-images/d", "Test Set/e", "Test Set/f")
    found = classes(load_folder(root))
    assert found == {"meta_train": ["a", "b"], "meta_validation": ["c", "d"], "meta_test": ["e", "f"]}


def test_a_folder_around_all_is_named(add: Add, tmp_path: Path) -> None:
    add("my data/train/a", "my data/val/b", "my data/test/c")
    said = refused(tmp_path)
    assert "a single folder, my data, in which there are others" in said
    assert f"dataset.root='{tmp_path}/my data'" in said


def test_a_split_folder_without_classes(add: Add) -> None:
    root = add("train/a", "train/b", "test/c", "test/d")
    (root / "val").mkdir()
    assert refused(root).splitlines() == [
        f"error: {root}/val: no folders of classes in it",
        "  fix: put its classes' folders into it",
    ]


def test_folders_that_systems_leave_are_no_classes(add: Add) -> None:
    root = add(*"abcdef")
    (root / "__MACOSX" / "a").mkdir(parents=True)
    assert sum(map(len, classes(load_folder(root)).values())) == 6


@pytest.mark.parametrize("separator", [";", "\t", ","])
@pytest.mark.parametrize("header", [("label", "set"), ("class", "split")])
def test_split_files_as_programs_write_them(header: tuple[str, str], separator: str, add: Add) -> None:
    root = add(*"abcdef")
    pairs = [header, *zip("abcdef", ("train", "val", "test") * 2, strict=True)]
    (root / "split.csv").write_text("".join(separator.join(pair) + "\n" for pair in pairs))
    assert classes(load_folder(root, SplitSettings(split_file="split.csv")))["meta_test"] == ["c", "f"]


def test_classes_that_a_split_file_leaves_out_are_counted(add: Add, caplog: pytest.LogCaptureFixture) -> None:
    root = add(*"abcdefgh")
    (root / "split.json").write_text(json.dumps({"train": ["a", "b"], "val": ["c", "d"], "test": ["e", "f"]}))
    load_folder(root, SplitSettings(split_file="split.json"))
    assert "2 classes that dataset.split_file does not name are left out, such as 'g'" in caplog.text
    (root / "split.json").write_text('{"train": ["a"], "train": ["b"], "val": ["c", "d"], "test": ["e", "f"]}')
    assert "a name stands in it more than once" in refused(root, split_file="split.json")
