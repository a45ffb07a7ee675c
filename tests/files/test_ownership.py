"""What is trusted: folders and files that nobody else can have written."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from metalstm.files import ownership
from metalstm.files.ownership import own_folder, owners_of_data, read_own


def test_made_where_it_is_missing_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = own_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert made == tmp_path / "a" / "b"
    assert [folder.stat().st_mode & 0o777 for folder in (made, made.parent)] == [0o700, 0o700]


def test_one_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o755)
    assert own_folder(tmp_path / "a").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("mode", "refused"), [(0o755, False), (0o775, True), (0o757, True), (0o1777, False)])
def test_folders_above(tmp_path: Path, mode: int, refused: bool) -> None:
    """In a sticky one, such as /tmp, nobody can put another folder in the place of ours."""
    above = tmp_path / "a"
    (above / "b").mkdir(parents=True)
    above.chmod(mode)
    if refused:
        with pytest.raises(PermissionError, match=f"^{above} can be written by other users"):
            own_folder(above / "b" / "c")
        assert list((above / "b").iterdir()) == []
    else:
        assert own_folder(above / "b" / "c").is_dir()


@pytest.mark.parametrize("mode", [0o770, 0o1777])
def test_our_own_may_have_been_written_by_nobody(tmp_path: Path, mode: int) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(mode)
    with pytest.raises(PermissionError, match="a can be written by other users"):
        own_folder(tmp_path / "a")


def test_a_link_leads_to_the_folder_that_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "shared")
    (tmp_path / "good").symlink_to(tmp_path / "there", target_is_directory=True)
    with pytest.raises(PermissionError, match="shared can be written by other users"):
        own_folder(tmp_path / "link" / "a")
    assert own_folder(tmp_path / "good" / "a") == tmp_path / "there" / "a"


def belonging_to(path: Path, user: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a file or folder look like another user's, which root alone could do."""
    real, inode = ownership._check, path.stat().st_ino

    def check(where: Path, status: os.stat_result, *given: object, **named: object) -> None:
        fields = list(status)
        fields[4] = user if status.st_ino == inode else status.st_uid
        real(where, os.stat_result(fields), *given, **named)

    monkeypatch.setattr(ownership, "_check", check)


@pytest.mark.parametrize("which", ["", "a", "a/b"])
def test_another_users_folder(tmp_path: Path, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own_folder(tmp_path / "a" / "b")
    belonging_to(tmp_path / which, 4321, monkeypatch)
    with pytest.raises(PermissionError, match=rf"^{tmp_path / which} belongs to another user \(4321\)$"):
        own_folder(tmp_path / "a" / "b")


def test_another_users_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"content")
    belonging_to(tmp_path / "file", 4321, monkeypatch)
    with pytest.raises(PermissionError, match=r"file belongs to another user \(4321\)"):
        read_own(tmp_path / "file")
    assert read_own(tmp_path / "file", {4321}) == b"content"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="is no file"):
        read_own(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening, pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        listening.bind("socket")
        with pytest.raises(OSError):  # noqa: PT011
            read_own(tmp_path / "socket")


def test_whoever_owns_the_data_or_the_system_may_have_changed_it(tmp_path: Path) -> None:
    assert owners_of_data(tmp_path) == {os.geteuid(), 0, os.stat("/").st_uid}
