"""Files of data as a person might have them, broken or odd, given to the readers of every dataset.

A case is a dataset of small whole files, and what has happened to one of them.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
import struct
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from . import harness
from .damage import Broken, Changed, break_bytes, broken, change, changed
from .own_content import ODD, Whole, cifar, classes, drives, image, intents, lines, npy, ratings, records, sound, table

PATIENCE = 20  # seconds that a few small files may take


class Case(NamedTuple):
    """Data, which of its files is hit, and by what; the damage is done in order. Bytes are the file's new content."""

    kind: str
    file: int
    damage: tuple[Any, ...]


class Field(NamedTuple):
    """Other bytes in a binary header, or another word in a text."""

    at: float
    value: int


class Odd(NamedTuple):
    """Another content altogether."""

    which: int


# Readers


def load_cifar(root: Path) -> Any:
    from metalstm.datasets.images.cifar100_files import Counts
    from metalstm.datasets.images.cifar_fs import load_cifar_fs

    return load_cifar_fs(root, False, counts=Counts(2, 1))


def load_records(root: Path) -> Any:
    from metalstm.datasets.series.ecg import BeatSettings, load_ecg

    return load_ecg(root, settings=BeatSettings(min_beats=2))


def load_drives(root: Path) -> Any:
    from metalstm.datasets.series.terrain import load_terrain

    return load_terrain(root, window=4, horizon=2, stretch=30)


def load_ratings(root: Path) -> Any:
    from metalstm.datasets.text.movietweetings import load_movietweetings

    return load_movietweetings(root, min_ratings=3)


def load_intents(root: Path) -> Any:
    from metalstm.datasets.text.clinc150 import load_clinc150

    return load_clinc150(root)


def load_folder(root: Path) -> Any:
    from metalstm.datasets.own.folder import load_folder

    return load_folder(root)


def load_speech(root: Path) -> Any:
    from metalstm.datasets.audio.speech_commands import load_speech_commands

    return load_speech_commands(root)


class Kind(NamedTuple):
    """Whole data, what may lie in its place, and what reads it."""

    whole: Callable[[], Whole]
    odd: str
    load: Callable[[Path], Any]
    text: bool = False  # whether its files are words and numbers


KINDS = {
    "speech": Kind(lambda: classes(".wav", lambda seed: sound("WAV", seed)), "recordings", load_speech),
    "flac": Kind(lambda: classes(".flac", lambda seed: sound("FLAC", seed)), "recordings", load_folder),
    "ogg": Kind(lambda: classes(".ogg", lambda seed: sound("OGG", seed)), "recordings", load_folder),
    "mp3": Kind(lambda: classes(".mp3", lambda seed: sound("MP3", seed)), "recordings", load_folder),
    "aiff": Kind(lambda: classes(".aiff", lambda seed: sound("AIFF", seed)), "recordings", load_folder),
    "wav": Kind(lambda: classes(".wav", lambda seed: sound("WAVEX", seed, 8000, "FLOAT")), "recordings", load_folder),
    "png": Kind(lambda: classes(".png", lambda seed: image("RGBA", "PNG", seed)), "images", load_folder),
    "jpg": Kind(lambda: classes(".jpg", lambda seed: image("RGB", "JPEG", seed)), "images", load_folder),
    "bmp": Kind(lambda: classes(".bmp", lambda seed: image("RGB", "BMP", seed)), "images", load_folder),
    "npy": Kind(lambda: classes(".npy", lambda seed: npy(np.eye(5, 3) * seed + 1)), "npy", load_folder),
    "csv": Kind(lambda: classes(".csv", table), "csv", load_folder, text=True),
    "txt": Kind(lambda: classes(".txt", lines), "txt", load_folder, text=True),
    "ecg": Kind(records, "ecg", load_records, text=True),
    "terrain": Kind(drives, "terrain", load_drives, text=True),
    "ratings": Kind(ratings, "ratings", load_ratings, text=True),
    "intents": Kind(intents, "intents", load_intents, text=True),
    "cifar": Kind(cifar, "cifar", load_cifar),
}


@functools.cache
def whole(kind: str) -> Whole:
    return KINDS[kind].whole()


# What happens to a file

INTEGERS = [0, 1, 2, 255, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000000]
WORDS = [
    *("", "nan", "-inf", "1e999", "-1", "0x10", "1_000", "9" * 25, "9" * 5000, "٣", "½", "é", "\0", '"', "'"),
    *(",", ";", "::", "%s", "=1+1", "../x", "/dev/zero", "a" * 5000, "1,5", "-", "+", "1/0", "16x9999999", "212"),
    *("16+99999999999", "\u202e", "[]", "{}", "true", "null"),
]


def damages(kind: str) -> SearchStrategy[Any]:
    own: list[SearchStrategy[Any]] = [broken(), broken("flipped", "a byte changed", "zeros", "cut", "truncated")]
    own.append(st.builds(Odd, st.integers(0, len(ODD[KINDS[kind].odd]()) - 1)))
    own.append(st.builds(Field, st.floats(0, 1), st.integers(0, 255)))
    return st.one_of(*own, changed()) if kind == "intents" else st.one_of(*own)


def cases_of(kind: str) -> SearchStrategy[Case]:
    damage = st.lists(damages(kind), min_size=1, max_size=2).map(tuple)
    return st.builds(Case, st.just(kind), st.integers(0, 11), damage)


def cases() -> SearchStrategy[Case]:
    return st.sampled_from(sorted(KINDS)).flatmap(cases_of)


def happen(data: bytes, kind: str, damage: Any) -> bytes:
    if isinstance(damage, bytes):
        return damage
    if isinstance(damage, Odd):
        return ODD[KINDS[kind].odd]()[damage.which]
    if isinstance(damage, Broken):
        return break_bytes(data, damage)
    if isinstance(damage, Changed):
        try:
            return json.dumps(change(json.loads(data), damage)).encode()
        except (ValueError, RecursionError):
            return data
    if KINDS[kind].text:
        words = re.split(r"([\s,:;|]+)", data.decode("utf-8", "surrogateescape"))
        at = int(damage.at * (len(words) - 1)) // 2 * 2
        words[at] = WORDS[damage.value % len(WORDS)]
        return "".join(words).encode("utf-8", "surrogateescape")
    at = int(damage.at * min(64, len(data)))
    order = "<I" if damage.value % 2 else ">I"
    return data[:at] + struct.pack(order, INTEGERS[damage.value // 2 % len(INTEGERS)]) + data[at + 4 :]


def build(case: Case, root: Path) -> Path:
    """Write the data; the name of the file that was hit."""
    content = whole(case.kind)
    name = list(content)[case.file % len(content)]
    for file, data in content.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(data)
    data = content[name]
    for damage in case.damage:
        data = happen(data, case.kind, damage)
    (root / name).write_bytes(data)
    return root / name


# What is wrong with how it was taken


def play(case: Case, root: Path) -> list[str]:
    """Reads the data as a dataset, and the file as one of a person's own; says what is wrong with how that ended."""
    data = root / "work" / "data"
    file = build(case, data)
    own = whole_dataset(case.kind)
    said = attempt(lambda: KINDS[case.kind].load(data), root)
    if own is not None and own.reader is not None and case.kind not in ("ecg", "terrain"):
        said += attempt(lambda: own.reader.read(file), root)
    return said


@functools.cache
def whole_dataset(kind: str) -> Any:
    """The dataset of whole files, for its reader."""
    with tempfile.TemporaryDirectory() as folder:
        for file, data in whole(kind).items():
            (Path(folder) / file).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / file).write_bytes(data)
        return KINDS[kind].load(Path(folder))


def attempt(read: Callable[[], Any], root: Path) -> list[str]:
    """Reads, and says what is wrong: an exception that is no refusal, a refusal without a word, or a traceback."""
    from metalstm.errors import ConfigError, DataError

    err = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ, harness.environment(root / "home")))
        stack.enter_context(contextlib.redirect_stderr(err))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(harness.limits(PATIENCE))
        try:
            read()
        except (DataError, ConfigError) as error:
            block = str(error) + "\n"
            named = isinstance(error, ConfigError) or str(root) in block  # a setting that does not fit, or a file
            if not harness.BLOCK.fullmatch(block) or not named:
                return [f"not one block that names a file: {block[:300]!r}"]
        except BaseException:
            return [f"traceback: {harness.where(traceback.format_exc())}"]
    return [f"a traceback was printed: {err.getvalue()[-300:]}"] if "Traceback" in err.getvalue() else []
