"""The cache of decoded data: whole or made anew, and never in the way."""

from __future__ import annotations

import io
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from metalstm.config.compose import composed
from metalstm.config.parse import train_settings
from metalstm.datasets.files import cache
from metalstm.datasets.files.cache import Content, cached
from metalstm.errors import DataError
from metalstm.files.paths import user_cache_folder, user_data_folder
from metalstm.files.writing import write_atomically

KEY = "ab" * 32


class Maker:
    """Makes the content and counts how often it had to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Content:
        self.calls += 1
        return {"images": torch.arange(1000, dtype=torch.uint8), "names": ["a", "b"]}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "metalstm"


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def get(beside: Path, make: Maker, key: str = KEY, fits: Callable[[Content], bool] = lambda _: True) -> Content:
    content = cached("thing", key, beside, make, fits)
    assert torch.equal(content["images"], torch.arange(1000, dtype=torch.uint8))
    assert content["names"] == ["a", "b"]
    return content


def test_made_once_and_kept_beside_the_data(beside: Path, home: Path) -> None:
    make = Maker()
    get(beside, make)
    get(beside, make)
    assert make.calls == 1
    assert os.listdir(beside) == [f"thing-{KEY[:12]}.cache"]
    assert not home.exists()


def test_another_key_is_another_cache_even_under_the_same_file_name(beside: Path) -> None:
    make = Maker()
    get(beside, make)
    get(beside, make, key="cd" * 32)
    get(beside, make, key=KEY[:12] + "0" * 52)
    assert make.calls == 3


@pytest.mark.parametrize("damage", ["empty", "header only", "truncated", "flipped", "foreign", "pickle"])
def test_damaged_cache_is_made_anew_with_a_warning(
    damage: str, beside: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make = Maker()
    get(beside, make)
    (file,) = beside.iterdir()
    whole = file.read_bytes()
    header, _, body = whole.partition(b"\n")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    harm = tmp_path / "harm"

    class Harmful:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(harm),))

    buffer = io.BytesIO()
    torch.save(Harmful(), buffer)
    harmful = cache._header(KEY, buffer.getvalue()) + b"\n" + buffer.getvalue()
    file.write_bytes(
        {
            "empty": b"",
            "header only": header,
            "truncated": whole[:-1],
            "flipped": bytes(flipped),
            "foreign": b"GIF89a" + body,
            "pickle": harmful,
        }[damage]
    )
    get(beside, make)
    assert make.calls == 2
    assert "decoding again" in caplog.text
    assert str(file) in caplog.text
    assert not harm.exists()
    assert file.read_bytes() == whole
    get(beside, make)
    assert make.calls == 2


def test_content_that_does_not_fit_is_made_anew(beside: Path, caplog: pytest.LogCaptureFixture) -> None:
    make = Maker()
    get(beside, make)
    get(beside, make, fits=lambda content: len(content["images"]) == 999)
    assert make.calls == 2
    assert "does not hold what it should" in caplog.text


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_cache_that_others_may_write_is_made_anew(mode: int, beside: Path, caplog: pytest.LogCaptureFixture) -> None:
    make = Maker()
    get(beside, make)
    (file,) = beside.iterdir()
    file.chmod(mode)
    get(beside, make)
    assert "can be written by other users (chmod go-w it)); decoding again" in caplog.text
    assert file.stat().st_mode & 0o777 == 0o644
    get(beside, make)
    assert make.calls == 2


@pytest.mark.parametrize("owner_of_the_data", [False, True])
def test_a_cache_of_another_user(
    owner_of_the_data: bool, beside: Path, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is trusted where the data is theirs as well; never overwritten."""
    make = Maker()
    get(beside, make)
    (file,) = beside.iterdir()
    monkeypatch.setattr(cache, "owners_of_data", lambda folder: {file.stat().st_uid} if owner_of_the_data else set())
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    monkeypatch.setattr(cache, "own_folder", lambda folder: home)  # which is this test's all the same
    home.mkdir(parents=True)
    get(beside, make)
    assert make.calls == (1 if owner_of_the_data else 2)
    assert ("belongs to another user" in caplog.text) is not owner_of_the_data
    assert len(list(home.iterdir())) == (0 if owner_of_the_data else 1)


def test_a_users_cache_that_others_may_write_is_done_without(
    beside: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    beside.chmod(stat.S_IRUSR | stat.S_IXUSR)
    home.mkdir(parents=True)
    home.chmod(0o777)
    get(beside, Maker())
    assert f"{home} can be written by other users (chmod go-w it)" in caplog.text
    assert list(home.iterdir()) == []


def test_unreadable_cache_is_made_anew(beside: Path, caplog: pytest.LogCaptureFixture) -> None:
    make = Maker()
    (beside / f"thing-{KEY[:12]}.cache").mkdir()  # a read fails with an OSError, also for root
    get(beside, make)
    assert "cannot read the cache" in caplog.text


def test_write_protected_folder_falls_back_to_the_users_cache(beside: Path, home: Path) -> None:
    make = Maker()
    beside.chmod(stat.S_IRUSR | stat.S_IXUSR)  # root, too, keeps out
    get(beside, make)
    get(beside, make)
    assert make.calls == 1
    assert os.listdir(beside) == []
    assert os.listdir(home) == [f"thing-{KEY[:12]}.cache"]


def test_failing_write_falls_back_and_leaves_nothing_behind(
    beside: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Maker()
    fail_writes_in(beside, monkeypatch)
    get(beside, make)
    assert os.listdir(beside) == []
    assert os.listdir(home) == [f"thing-{KEY[:12]}.cache"]


def test_without_any_place_to_write_the_data_is_still_given(
    tmp_path: Path, beside: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make = Maker()
    fail_writes_in(tmp_path, monkeypatch)
    get(beside, make)
    assert make.calls == 1
    assert "cannot be cached" in caplog.text
    assert "No space left" in caplog.text
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "file", b"old")
    fail_writes_in(tmp_path, monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "file", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


def test_user_folders_follow_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert user_cache_folder() == tmp_path / ".cache" / "metalstm"
    assert user_data_folder() == tmp_path / ".local" / "share" / "metalstm"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert user_data_folder() == tmp_path / "data" / "metalstm"


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container for a user without a name."""

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    for variable in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)


def test_without_a_home_the_data_is_still_given(homeless: None, beside: Path, caplog: pytest.LogCaptureFixture) -> None:
    beside.chmod(stat.S_IRUSR | stat.S_IXUSR)
    get(beside, Maker())
    assert "write-protected" in caplog.text
    assert f"HOME is not set, and user {os.geteuid()} has no home" in caplog.text


@pytest.mark.parametrize(
    "name", ["cifar_fs", "clinc150", "ecg", "movietweetings", "omniglot", "speech_commands", "terrain"]
)
def test_without_a_home_a_dataset_asks_for_its_folder(name: str, homeless: None) -> None:
    ways = 1 if name == "terrain" else 2
    settings = train_settings(composed("train", [f"dataset={name}", f"ways={ways}"]))
    with pytest.raises(DataError, match=r"HOME is not set.*\n  fix: .*dataset\.root"):
        settings.dataset.load()


def test_cache_says_where_it_is(beside: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    get(beside, Maker())
    assert f"cached in {beside}" in caplog.text


def fail_writes_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a full disk does: the file can be opened, and the failure comes with the data."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        written = os.stat(descriptor).st_ino
        if any(path.stat().st_ino == written for path in folder.rglob("*")):
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
