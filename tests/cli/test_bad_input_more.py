"""Bad input that `tests/cli/test_bad_input.py` does not try: one block that says how to mend it; nothing written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from support.commands import tiny


@pytest.fixture
def refused(in_process: Any) -> Any:
    """`refused(code, words, *arguments)`: `metalstm-train`, otherwise tiny, refuses and writes nothing."""

    def run(code: int, words: list[str], *arguments: str, tiny_too: bool = True) -> None:
        dropped = dict.fromkeys(argument.split("=")[0] for argument in arguments)
        if "dataset" in dropped:
            dropped["dataset.classes"] = None
        before = sorted(Path().rglob("*"))
        ended = in_process("train", *(tiny(**dropped) if tiny_too else []), *arguments)
        assert ended.code == code, ended
        assert ended.err.startswith("error: ")
        assert ended.err.count("error: ") == ended.err.count("\n  fix: ")
        assert "Traceback" not in ended.err + ended.out
        for word in words:
            assert word in ended.err, ended.err
        assert sorted(Path().rglob("*")) == before

    return run


@pytest.mark.parametrize("kind", ["a file", "half unpacked", "broken zips"])
def test_a_data_folder_that_is_none(kind: str, refused: Any) -> None:
    root = Path("data")
    if kind == "a file":
        root.write_bytes(b"")
        words = ["data: cannot be read"]
    elif kind == "half unpacked":
        (root / "images_background" / "Latin" / "character01").mkdir(parents=True)
        words = [
            "images_background: 0 of 964 characters",
            "0 of 19280 images",
            "images_evaluation",
            "of 659 characters",
        ]
    else:
        root.mkdir()
        for part in ("background", "evaluation"):
            (root / f"images_{part}.zip").write_bytes(b"PK\x03\x04 cut off")
        words = ["images_background.zip", "images_evaluation.zip"]
    refused(3, words, "dataset=omniglot", "dataset.root=data", "dataset.download=false")


def test_a_split_too_small_is_named(refused: Any) -> None:
    """All splits that are too small, each with its own number."""
    refused(2, ["'meta_train'", "24 classes", "'meta_validation'", "3 classes", "'meta_test'", "9 classes"], "ways=70")
    words = [f"'{split}' holds 20" for split in ("meta_train", "meta_validation", "meta_test")]
    refused(2, [*words, "shots+queries<=20", "shots+train_queries<=20"], "shots=30")


def test_what_is_no_run_directory(refused: Any) -> None:
    Path("file").write_bytes(b"")
    broken = Path("broken")
    broken.mkdir()
    (broken / "config.yaml").write_text("ways: 5\n", encoding="utf-8")
    for content in ("[]", "null", "{", '{"format": 1}', '"text"'):
        (broken / "run.json").write_text(content, encoding="utf-8")
        refused(4, ["broken is not a run directory"], "resume=broken", tiny_too=False)
    refused(4, ["file is not a directory"], "resume=file", tiny_too=False)
    refused(2, ["resume is empty"], "resume=", tiny_too=False)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_an_output_dir_that_takes_nothing(refused: Any) -> None:
    """Not even the superuser, who may write into any folder of a disk."""
    refused(2, ["output_dir: /proc/runs"], "output_dir=/proc/runs")


def test_a_class_of_one_example_is_remedied_by_a_setting(in_process: Any) -> None:
    for label in range(8):
        Path(f"data/class{label}").mkdir(parents=True)
        for number in range(1 if label in (3, 5) else 4):
            Path(f"data/class{label}/{number}.csv").write_text(f"{label},{number}\n{number},1.5\n")
    given = [
        "dataset=folder",
        "dataset.root=data",
        *tiny(ways=2, steps=2, scratch_tasks=0, **{"dataset.classes": None}),
    ]
    ended = in_process("train", *given)
    assert ended.code == 2
    assert "fix: leave out classes with fewer: dataset.min_examples=3" in ended.err
    assert "<=1" not in ended.err
    ended = in_process("train", *given, "dataset.min_examples=3")
    assert ended.code == 0, ended.err
    assert "2 classes with fewer than 3 examples are left out" in ended.out


def test_identical_examples_are_said_before_training(in_process: Any) -> None:
    for label in range(6):
        Path(f"data/class{label}").mkdir(parents=True)
        for number in range(4):
            Path(f"data/class{label}/{number}.csv").write_text("1,2\n3,4\n")
    given = tiny(ways=2, steps=2, scratch_tasks=0, validation_tasks=10, **{"dataset.classes": None})
    ended = in_process("train", "dataset=folder", "dataset.root=data", *given)
    assert "warning: all 24 examples are identical" in ended.out.partition("meta-train from")[0]
    assert "warning: nothing is learned: meta-validation accuracy 50.0%" in ended.out
