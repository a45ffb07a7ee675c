"""Files of a person's own, whole, odd and broken: each is read, or refused by a block that names it."""

from __future__ import annotations

from typing import Any

import pytest

ALL = ["aiff", "bmp", "cifar", "csv", "ecg", "flac", "intents", "jpg", "mp3", "npy", "ogg", "png", "ratings", "speech"]
ALL += ["terrain", "txt", "wav"]


def test_broken_files(fuzzed: Any) -> None:
    fuzzed("own_files", 40)


@pytest.mark.parametrize("kind", ALL)
def test_whole_files_are_read(kind: str) -> None:
    from stress.fuzzing.own_files import KINDS, whole_dataset

    assert sorted(KINDS) == ALL
    assert len(whole_dataset(kind).splits) == 3


# What fuzzing has found, kept.
@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("npy", b"\x93NUMPY\x01\0\x0b\0{'shape': (" + bytes(99)),
        ("npy", b"\x93NUMPY\x01\0\xb8\x0b" + b"(" * 3000),
        ("png", b"a palette that is missing"),
        ("ecg", b"100 1 0 10\n100.dat 16 1\n"),
        ("cifar", b"\x80\x02}K\x01" + b"2\x86" * 60 + b"K\x01s."),
    ],
    ids=lambda part: ascii(part)[:12],
)
def test_found_before(kind: str, content: bytes) -> None:
    from stress.fuzzing import own_content, own_files
    from stress.fuzzing.parts import PARTS, play

    if kind == "png":
        content = own_content.png(8, 8, depth=1, colour=3)
    (part,) = (part for part in PARTS if part.name == "own_files")
    for file in range(3):
        assert play(part, own_files.Case(kind, file, (content,))) == []


def test_what_is_wrong_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    from metalstm.datasets.own import folder_readers
    from metalstm.errors import DataError
    from stress.fuzzing import own_files
    from stress.fuzzing.harness import sandbox

    own_files.whole_dataset("npy")
    for raised, seen in (
        (TypeError("x"), "traceback: datasets/own/folder_readers.py"),
        (DataError(), "not one block"),
        (DataError.of("no file at all", "mend it"), "not one block that names a file"),
    ):

        def broken(data: bytes, raised: Exception = raised) -> Any:
            raise raised

        monkeypatch.setattr(folder_readers, "read_npy", broken)
        with sandbox() as root:
            wrong = own_files.play(own_files.Case("npy", 0, ()), root)
        assert len(wrong) == 2
        assert wrong[0].startswith(seen)
