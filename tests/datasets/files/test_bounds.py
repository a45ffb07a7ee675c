"""Files that would take more time or memory than there is: refused by their size or their header, in words."""

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metalstm.datasets.files.reader import Reader, whole
from metalstm.datasets.images.cifar100_files import Counts as Images
from metalstm.datasets.images.cifar100_files import read_images
from metalstm.datasets.images.omniglot_files import LARGEST, read_member
from metalstm.datasets.own.folder_readers import read_npy
from metalstm.datasets.series.ecg_files import read_record
from metalstm.datasets.series.terrain_files import read_logs
from metalstm.datasets.text.clinc150_files import read_intents
from metalstm.datasets.text.movietweetings_files import read_table
from metalstm.errors import DataError
from metalstm.files.writing import read_at_most

PICKLES = ("meta", "train", "test")


@pytest.fixture(autouse=True)
def in_seconds() -> Iterator[None]:
    begin = time.monotonic()
    yield
    assert time.monotonic() - begin < 10


def sparse(path: Path, size: int = 3 * 2**30) -> Path:
    """A file that says that it is large, and takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    os.truncate(path, size)
    return path


def refused(read: Callable[[], Any]) -> str:
    with pytest.raises(DataError) as error:
        read()
    assert error.value.exit_code == 3
    return str(error.value)


# Files by their size


def test_a_file_of_a_persons_own(tmp_path: Path) -> None:
    reader = Reader("tables", lambda data: whole(data))  # type: ignore[arg-type]
    said = refused(lambda: reader.read(sparse(tmp_path / "a.csv")))
    assert "a.csv: cannot be read: it has 3,221,225,472 bytes, but at most 1,073,741,824 are read" in said


def test_ratings_queries_logs_and_images(tmp_path: Path) -> None:
    for name in ("movies.dat", "ratings.dat", "data_full.json", "domains.json", "ice/pro_0.csv", *PICKLES):
        sparse(tmp_path / name)
    reads: list[Callable[[], Any]] = [
        *(lambda: read_table(tmp_path), lambda: read_intents(tmp_path), lambda: read_logs(tmp_path)),
        lambda: read_images(tmp_path, ["a"], Images(1, 1)),
    ]
    for read in reads:
        assert "it has 3,221,225,472 bytes, but at most" in refused(read)


def test_a_file_that_holds_more_than_it_says() -> None:
    assert read_at_most(io.BytesIO(b"12345"), 5, 5) == b"12345"
    with pytest.raises(ValueError, match="it holds more than the 4 bytes"):
        read_at_most(io.BytesIO(b"12345"), 4, 100)


def test_a_member_of_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("small", b"1" * LARGEST)
        with archive.open("large", "w", force_zip64=True) as member:
            for _ in range(100):
                member.write(bytes(2**20))
    assert (tmp_path / "a.zip").stat().st_size < 200_000
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert len(read_member(archive, "small")) == LARGEST
        with pytest.raises(ValueError, match="it has 104,857,600 bytes, but at most 1,048,576"):
            read_member(archive, "large")


def test_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("lies", bytes(2**24))
    content = (tmp_path / "a.zip").read_bytes().replace((2**24).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    with zipfile.ZipFile(io.BytesIO(content)) as archive, pytest.raises(zipfile.BadZipFile):
        read_member(archive, "lies")


# Arrays by their header


def npy(shape: str = "(2, 2)", kind: str = "'<f8'", room: int = 400, version: int = 1) -> bytes:
    header = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    size = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + bytes(room)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (npy("(True, 2)"), r"its shape is \(True, 2\), wanted \[steps\] or \[steps, features\]"),
        (npy("(-1, 2)"), r"its shape is \(-1, 2\)"),
        (npy("(0, 2)"), r"its shape is \(0, 2\)"),
        (npy("(2, 2, 2)"), r"its shape is \(2, 2, 2\)"),
        (npy("(1000000000, 1000000000)"), "cut off: 400 of 8,000,000,000,000,000,000 bytes"),
        (npy("(99999999999999999999, 2)"), "cut off: 400 of"),
        (npy("(10, 10)", room=799), "cut off: 799 of 800 bytes of numbers"),
        (npy(kind="'|O'"), "it holds object, not numbers"),
        (npy(kind="'<c16'"), "it holds complex128, not numbers"),
        (npy(kind="[('a', '<f8')]"), "not numbers"),
        (npy(kind="'(1000000000,)f8'"), "numbers|dtype|descriptor"),
        (npy("(5, 3"), "header"),
        (npy(version=3), "of version 3.0 of the format"),
        (b"\x93NUMPY\x01\0\xff\xff" + b"(" * 65_535, "(?i)header"),
        (b"PK\x03\x04" + bytes(60), "magic"),
    ],
)
def test_arrays(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_npy(data)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("kind", ["f8", "f4", "f2", ">f4", "i8", "u1", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_numbers(kind: str, order: Any, version: int) -> None:
    for shape in ((5, 3), (7,)):
        array = np.random.default_rng(0).normal(0, 60, shape).astype(kind).copy(order)
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, array, version=(version, 0))
        assert np.array_equal(read_npy(buffer.getvalue()), array.reshape(len(array), -1))


# Others by what they say


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("100 2 360 999999999999\n100.dat 16 1\n100.dat 16 1\n", "999,999,999,999 samples a lead, wanted at most"),
        ("100 65 360 10\n" + "100.dat 16 1\n" * 65, "65 leads, wanted at most 64"),
        ("100 1 360 10\n100.dat 16x1000000 1\n", "1,000,000 samples a frame, wanted at most 100"),
        ("100 1 360 10\n../../etc/passwd 16 1\n", "invalid syntax in signal line"),
        ("100 1 360 10\n/dev/zero 16 1\n", "invalid syntax in signal line"),
        ("100 1 0 10\n100.dat 16 1\n", "says 0 samples a second, wanted 1 to 100,000"),
        ("100/3 2 360 1620\na 10\nb 10\nc 10\n", "it is of several segments, wanted one"),
        ("#" * 70_000, "it has 70,000 bytes, but at most 65,536"),
    ],
)
def test_headers_of_records(header: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "100.hea").write_text(header)
    for part in (".dat", ".atr"):
        (tmp_path / f"100{part}").write_bytes(bytes(200))
    assert words in refused(lambda: read_record(tmp_path / "100", 0))


def test_a_pickle_whose_key_is_never_hashed(tmp_path: Path) -> None:
    bomb = b"\x80\x02}K\x01" + b"2\x86" * 60 + b"K\x01s."
    pairs = b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60))  # of the pair before, twice
    remembered = b"\x80\x02}K\x01\x85q\0" + pairs + b"K\x01s."
    for name, content in zip(PICKLES, (bomb, remembered, b""), strict=True):
        (tmp_path / name).write_bytes(content)
    said = refused(lambda: read_images(tmp_path, ["a"], Images(1, 1)))
    assert said.count("it holds something twice") == 2
