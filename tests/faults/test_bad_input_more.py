"""Bad input that `tests/test_bad_input.py` does not try: one block that says how to mend it; nothing written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def refused(in_process: Any, tiny: Any) -> Any:
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
    refused(4, ["is not a"], "resume=", tiny_too=False)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_an_output_dir_that_takes_nothing(refused: Any) -> None:
    """Not even the superuser, who may write into any folder of a disk."""
    refused(2, ["output_dir: /proc/runs"], "output_dir=/proc/runs")
