"""The shared library of `sweeps.c`: compiled once for this machine into a cache, and read back only when whole.

Beside the library lies its manifest: a digest of the library, and all that it was made from. A library that does not
fit its manifest, to the byte, is compiled anew. The manifest cannot stop a person who may write that folder, who would
write a new one: so both lie in a folder that nobody else can write (see `metalstm.files.ownership`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from metalstm.files.ownership import OURS, own_folder, read_own
from metalstm.files.paths import user_cache_folder
from metalstm.files.writing import TEMPORARY, remove_leftovers, write_atomically

log = logging.getLogger(__name__)

SOURCES = ("sweeps.c", "products.h", "cells.h")
FLAGS = (
    "-O3",
    "-march=native",
    "-fopenmp-simd",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-std=gnu11",
    "-fPIC",
    "-shared",
)
STEM = "sweeps-"
PATIENCE = 120.0  # seconds for a compiler
MadeFrom = dict[str, Any]


class NoCompiler(Exception):
    """There is no C compiler, or it does not work."""


class Library(NamedTuple):
    """A whole library: where it lies, and its content."""

    path: Path
    content: bytes


def compiled_library() -> Library:
    """Give the library for this machine from the first cache that can be trusted; compile it where it is not there.

    Raises:
        NoCompiler: there is none that works.
        OSError: no folder can be trusted and written; the message has the reasons.
    """
    wanted = made_from()
    reasons = []
    for folder in (user_cache_folder, temporary_folder):
        try:
            library = library_in(own_folder(folder()), wanted)
        except OSError as error:
            reasons.append(str(error))
            continue
        if reasons:
            log.warning("the compiled sweeps are kept in %s: %s", library.path.parent, "; ".join(reasons))
        return library
    raise OSError("; ".join(reasons))


def made_from() -> MadeFrom:
    """Give all that a library depends on: with anything else in it, it is another one.

    Raises:
        NoCompiler: there is none.
    """
    compiler = find_compiler()
    return {
        "sources": digest(repr(sources()).encode()),
        "compiler": compiler,
        "version": version(compiler),
        "flags": list(FLAGS),
        "processor": digest(processor().encode()),
    }


def library_in(folder: Path, wanted: MadeFrom) -> Library:
    """Give the library from a folder of our own, where it is compiled if it is not there, or not whole."""
    path = folder / f"{STEM}{digest(json.dumps(wanted).encode())[:16]}.so"
    with suppress(OSError):
        return Library(path, read_whole(path, wanted))
    with one_at_a_time(folder):
        try:
            return Library(path, read_whole(path, wanted))  # which another process has made meanwhile
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("%s; compiled anew", error)
        started = time.monotonic()
        content = compiled(folder, wanted["compiler"])
        write_atomically(path, content, OURS)
        write_atomically(manifest_path(path), manifest(content, wanted), OURS)
        log.info("compiled the sweeps of the LSTM in %.1f s, into %s", time.monotonic() - started, path)
    return Library(path, content)


def read_whole(path: Path, wanted: MadeFrom) -> bytes:
    """Read a library that fits its manifest.

    Raises:
        OSError: it is not there, is another's, or does not fit; the message says which.
    """
    content = read_own(path)
    if not fits(content, read_own(manifest_path(path)), wanted):
        raise OSError(f"{path} is damaged: it does not fit {manifest_path(path).name}")
    return content


def manifest_path(library: Path) -> Path:
    return library.with_suffix(".json")


def manifest(content: bytes, wanted: MadeFrom) -> bytes:
    """Give the manifest of a library with this content."""
    return json.dumps({"sha256": digest(content), "bytes": len(content), **wanted}, indent=1).encode()


def fits(content: bytes, written: bytes, wanted: MadeFrom) -> bool:
    """Whether a library and the manifest beside it are whole, and made from what they should be."""
    return written == manifest(content, wanted)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Open a context in which no other process compiles into a folder; what a killed one has left there is removed.

    Raises:
        TimeoutError: another process takes too long.
    """
    lock = FileLock(folder / f"{STEM}lock")
    try:
        lock.acquire(timeout=2 * PATIENCE)
    except TimeoutError:
        raise
    except (OSError, NotImplementedError):  # a file system without locks: two may compile, and either result is whole
        yield
        return
    try:
        remove_leftovers(folder, STEM)
        for leftover in folder.glob("tmp????????"):  # of versions that named it so
            shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        lock.release()


def compiled(folder: Path, compiler: list[str]) -> bytes:
    """Compile the sources in a temporary folder within a folder of our own; give the library's content."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{STEM}", suffix=TEMPORARY) as scratch:
        for name, content in sources().items():
            Path(scratch, name).write_bytes(content)
        built = Path(scratch, "sweeps.so")
        compile_c(compiler, Path(scratch, SOURCES[0]), built)
        return built.read_bytes()


def compile_c(compiler: list[str], c_file: Path, built: Path) -> None:
    """Compiles with threads where the compiler has OpenMP, else without."""
    for openmp in (("-fopenmp",), ()):
        done = call([*compiler, *FLAGS, *openmp, str(c_file), "-o", str(built), "-lm"])
        if done.returncode == 0:
            if not built.exists():  # as of `true`, which does nothing and does it well
                raise NoCompiler(f"{compiler[0]} ended well, but wrote no {built.name}")
            return
    raise NoCompiler(f"{compiler[0]} failed: {done.stderr.strip()[-300:]}")


def sources() -> dict[str, bytes]:
    return {name: resources.files(__package__).joinpath(name).read_bytes() for name in SOURCES}


def find_compiler() -> list[str]:
    """Give the words that start the C compiler: `$CC`, or the first that is installed."""
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    try:
        compiler = shlex.split(os.environ.get("CC", "")) or ([found] if found else [])
    except ValueError as error:
        raise NoCompiler(f"CC={os.environ['CC']} cannot be read: {error}") from error
    if not compiler:
        raise NoCompiler("neither cc, gcc nor clang is installed")
    return compiler


def version(compiler: list[str]) -> str:
    """Give what a compiler says of its version: it may be another one tomorrow under the same name."""
    return call([*compiler, "--version"]).stdout


def call(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise NoCompiler(str(error)) from error


def temporary_folder() -> Path:
    """Give where the library lies for a user whose own cache folder cannot be used."""
    return Path(tempfile.gettempdir()) / f"metalstm-{os.geteuid()}"


def processor() -> str:
    """Return what `-march=native` depends on: a cache folder may be shared by machines of several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    return "\n".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))
