"""The compiled library in its cache: executed only when whole and our own, made anew or done without otherwise."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from metalstm.nn.kernel import compiled, shared_object
from metalstm.nn.kernel.compiled import fused_sweeps
from metalstm.nn.kernel.shared_object import compiled_library, fits, manifest, manifest_path

Choose = Callable[..., None]
BUILT = bytes(range(256)) * 4  # in the place of what a compiler makes


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the C code."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for name in shared_object.SOURCES:
        shutil.copy(Path(shared_object.__file__).with_name(name), folder)
    monkeypatch.setattr(shared_object.resources, "files", lambda package: folder)
    return folder


@pytest.fixture
def compiler(tmp_path: Path) -> Path:
    """A compiler that makes `BUILT`, and says what stands in the file `version` beside it."""
    (tmp_path / "built").write_bytes(BUILT)
    (tmp_path / "version").write_text("1.0")
    script = tmp_path / "cc"
    script.write_text(
        f'#!/bin/sh\nif [ "$1" = --version ]; then cat {tmp_path}/version; exit; fi\n'
        f'while [ "$1" != -o ]; do shift; done; cp {tmp_path}/built "$2"; echo run >> {tmp_path}/runs\n'
    )
    script.chmod(0o755)
    return script


@pytest.fixture
def cache(tmp_path: Path, compiler: Path, choose_sweeps: Choose, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder; the temporary folder of this test is another one of its own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    choose_sweeps(METALSTM_FUSED=None, XDG_CACHE_HOME=str(tmp_path / "cache"), CC=str(compiler))
    return tmp_path / "cache" / "metalstm"


def compilations(cache: Path) -> int:
    runs = cache.parents[1] / "runs"
    return len(runs.read_text().splitlines()) if runs.exists() else 0


@pytest.mark.parametrize("changed", ["processor", "flags", "compiler", "version", *shared_object.SOURCES])
def test_compiled_anew_where_something_has_changed(
    cache: Path, sources: Path, choose_sweeps: Choose, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    before = compiled_library()
    assert compiled_library() == before
    if changed == "processor":
        monkeypatch.setattr(shared_object, "processor", lambda: "another that shares the folder")
    elif changed == "flags":
        monkeypatch.setattr(shared_object, "FLAGS", ())
    elif changed == "compiler":
        choose_sweeps(CC=f"{os.environ['CC']} -g")
    elif changed == "version":  # upgraded in place
        (cache.parents[1] / "version").write_text("1.1")
    else:
        (sources / changed).write_text("changed")
    assert compiled_library() != before
    assert len(list(cache.glob("*.so"))) == compilations(cache) == 2


def test_the_manifest_says_what_the_library_is(cache: Path) -> None:
    made = compiled_library()
    said = json.loads(manifest_path(made.path).read_text())
    assert (said["bytes"], said["version"], said["flags"]) == (len(BUILT), "1.0", list(shared_object.FLAGS))
    assert made.content == BUILT
    assert [oct(path.stat().st_mode & 0o777) for path in (cache, made.path, manifest_path(made.path))] == [
        *("0o700", "0o600", "0o600")
    ]


def test_every_truncation_and_every_flipped_bit_is_noticed() -> None:
    made_from = {"version": "1.0"}
    whole = BUILT, manifest(BUILT, made_from)
    assert fits(*whole, made_from)
    assert not fits(*whole, {"version": "1.1"})
    for which, data in enumerate(whole):
        flips = (data[:i] + bytes([data[i] ^ 1 << bit]) + data[i + 1 :] for i in range(len(data)) for bit in range(8))
        for damaged in itertools.chain(flips, (data[:length] for length in range(len(data)))):
            assert not fits(*(damaged if number == which else one for number, one in enumerate(whole)), made_from)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "no manifest", "another manifest"])
def test_a_damaged_library_is_made_anew(cache: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    made = compiled_library()
    written = manifest_path(made.path)
    content = {"cut": BUILT[:-1], "flipped": BUILT[:-1] + b"\xfe", "empty": b""}.get(damage, BUILT)
    made.path.write_bytes(content)
    if damage == "no manifest":
        written.unlink()
    elif damage == "another manifest":
        written.write_bytes(written.read_bytes().replace(b"1.0", b"1.1"))
    assert compiled_library() == made
    assert made.path.read_bytes() == BUILT
    assert ("is damaged" in caplog.text) == (damage != "no manifest")
    assert compilations(cache) == 2
    assert compiled_library() == made
    assert compilations(cache) == 2


@pytest.mark.parametrize("of", ["library", "manifest"])
def test_a_file_that_others_may_write_is_not_loaded(cache: Path, of: str, caplog: pytest.LogCaptureFixture) -> None:
    made = compiled_library()
    planted = made.path if of == "library" else manifest_path(made.path)
    planted.chmod(0o666)
    assert compiled_library() == made
    assert f"{planted} can be written by other users (chmod go-w it); compiled anew" in caplog.text
    assert planted.stat().st_mode & 0o777 == 0o600
    assert compilations(cache) == 2


@pytest.mark.parametrize("where", ["metalstm", "."])
def test_a_folder_that_others_may_write_is_not_used(cache: Path, where: str, caplog: pytest.LogCaptureFixture) -> None:
    """A planted library with its manifest would fit: whoever may write there can make one."""
    planted = compiled_library()
    shared = cache.parent / where
    shared.chmod(0o777)
    made = compiled_library()
    assert made.path.parent == cache.parents[1] / "tmp" / f"metalstm-{os.geteuid()}"
    assert made.path.parent.stat().st_mode & 0o777 == 0o700
    assert f"kept in {made.path.parent}: {shared} can be written by other users" in caplog.text
    assert planted.path.exists()
    assert compilations(cache) == 2


def test_a_user_without_a_home(
    cache: Path, choose_sweeps: Choose, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    choose_sweeps(XDG_CACHE_HOME=None)
    assert compiled_library().path.parent == cache.parents[1] / "tmp" / f"metalstm-{os.geteuid()}"
    assert "HOME is not set" in caplog.text


def test_where_no_folder_is_ours_the_plain_sweeps_run(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache.parent.write_text("a file")
    Path(tempfile.gettempdir()).chmod(0o777)
    assert fused_sweeps() is None
    (record,) = caplog.records
    said = record.getMessage()
    assert said.startswith("plain torch sweeps, which are slower: ")
    assert f"{cache.parent}" in said
    assert f"{tempfile.gettempdir()} can be written by other users" in said
    assert "compiler" not in said
    assert not list(cache.parents[1].rglob("*.so"))


@pytest.mark.parametrize("leftover", [f".{shared_object.STEM}killed.tmp", "tmpab12cd34"])
def test_what_a_killed_compilation_left_is_removed(cache: Path, leftover: str) -> None:
    (cache / leftover).mkdir(parents=True)
    (cache / leftover / "sweeps.c").write_text("")
    (cache / f".{shared_object.STEM}key.so.ab12.tmp").write_text("half of it")
    cache.chmod(0o700)
    made = compiled_library()
    assert sorted(cache.iterdir()) == [manifest_path(made.path), made.path, cache / "sweeps-lock"]


def test_two_processes_that_compile_at_once(cache: Path, compiler: Path) -> None:
    script = compiler.read_text().replace("while", "sleep 1; while", 1)
    compiler.write_text(script)
    program = "from metalstm.nn.kernel.shared_object import compiled_library as made; print(made().path)"
    pair = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    paths = {process.communicate(timeout=120)[0].strip() for process in pair}
    assert [process.returncode for process in pair] == [0, 0]
    assert paths == {str(compiled_library().path)}
    assert compilations(cache) == 1  # the other one waited for it


def test_a_file_system_without_locks(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: object, timeout: float) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(shared_object.FileLock, "acquire", refused)
    assert compiled_library().content == BUILT


def test_what_is_loaded_is_what_was_checked(
    cache: Path, choose_sweeps: Choose, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is cut short between the look at it and the load, which was a bus error."""
    choose_sweeps(CC=None)
    if fused_sweeps() is None:
        pytest.skip("no C compiler")
    real = shared_object.read_whole

    def cut_after(path: Path, wanted: shared_object.MadeFrom) -> bytes:
        content = real(path, wanted)
        os.truncate(path, 100)
        return content

    monkeypatch.setattr(shared_object, "read_whole", cut_after)
    choose_sweeps()
    assert fused_sweeps() is not None
    assert compiled.describe() == "compiled sweeps"


def test_a_system_without_files_in_memory(cache: Path, choose_sweeps: Choose, monkeypatch: pytest.MonkeyPatch) -> None:
    choose_sweeps(CC=None)
    monkeypatch.delattr(os, "memfd_create", raising=False)
    if fused_sweeps() is None:
        pytest.skip("no C compiler")
    assert compiled.describe() == "compiled sweeps"
