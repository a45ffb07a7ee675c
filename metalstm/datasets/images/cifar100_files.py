"""CIFAR-100's three files, as torchvision keeps them: fetched, found, and read without running what is in them."""

from __future__ import annotations

import io
import logging
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metalstm.datasets.files.download import downloading
from metalstm.errors import DataError, Problem, first_names
from metalstm.files.writing import read_bounded

log = logging.getLogger(__name__)

SUBFOLDER = "cifar-100-python"  # what the archive holds, and where torchvision unpacks it
ARCHIVE = f"{SUBFOLDER}.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
META = "meta"
FILES = ("train", "test", META)
SIDE, COLOURS = 32, 3
PIXELS = COLOURS * SIDE * SIDE
FIX = f"unpack {ARCHIVE} of {URL} into this folder, or name another with dataset.root"
MEND = "unpack the archive again"
LARGEST = 2**29  # bytes of a file, three times what the largest has
TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")


class Counts(NamedTuple):
    """How many images of each class there have to be."""

    train: int = 500
    test: int = 100


def download_cifar100(root: Path) -> None:
    """Fetch and unpacks the archive into `root/cifar-100-python` by torchvision, which checks its MD5.

    Raises:
        DataError: it failed; says what to put where by hand.
    """
    from torchvision.datasets import CIFAR100  # here, since it takes a while and most starts download nothing

    by_hand = f"fetch {CIFAR100.url} by hand, and unpack it in {root}, or name the folder it is in with dataset.root"
    log.info("downloading CIFAR-100 to %s", root / SUBFOLDER)
    with downloading(root, SUBFOLDER, "CIFAR-100", by_hand) as folder:
        CIFAR100(str(folder), download=True)


def present(root: Path) -> dict[Path, list[str]]:
    """Which of the three files the root and its `cifar-100-python/` hold; of folders that hold one at least.

    Raises:
        DataError: the root is not a folder, or one of them cannot be read.
    """
    found: dict[Path, list[str]] = {}
    for folder in (root, root / SUBFOLDER):
        try:
            there = os.listdir(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DataError.of(f"{folder}: cannot be read: {error.strerror}", FIX) from error
        if files := [name for name in FILES if name in there]:
            found[folder] = files
    return found


def find_folder(root: Path) -> Path:
    """Return the root or its `cifar-100-python/`, whichever holds all three files.

    Raises:
        DataError: neither does.
    """
    found = present(root)
    for folder, files in found.items():
        if len(files) == len(FILES):
            return folder
    if found:
        folder, files = max(found.items(), key=lambda item: len(item[1]))
        missing = " and ".join(name for name in FILES if name not in files)
        raise DataError.of(f"{folder}: {missing} missing: {len(files)} of {len(FILES)} files found", FIX)
    if (root / ARCHIVE).exists():
        raise DataError.of(f"{root}: {ARCHIVE} has not been unpacked", f"run tar -xzf {ARCHIVE} in this folder")
    state = f"{', '.join(FILES)} missing: 0 of {len(FILES)} files found" if root.is_dir() else "no such folder"
    raise DataError.of(f"{root}: {state}", f"{FIX}, or set dataset.download=true")


def read_images(folder: Path, names: list[str], counts: Counts) -> NDArray[np.uint8]:
    """All images of the classes named, [C, E, 32, 96]: first those of `train`, then those of `test`.

    A row is a step; its pixels follow one another, red, green and blue of each.

    Args:
        folder: with the three files.
        names: of all classes.
        counts: how many images of a class each file has to hold.

    Raises:
        DataError: with every problem found: a file is broken, or holds something else.
    """
    problems: list[Problem] = []
    images = np.empty((len(names), sum(counts), SIDE, SIDE, COLOURS), dtype=np.uint8)
    listed = _class_names(folder / META, names, problems)
    first = 0
    for part, count in counts._asdict().items():
        batch = _batch(folder / part, len(listed), problems)
        if batch is not None:
            data, labels = batch
            held = np.bincount(labels, minlength=len(listed))
            odd = [f"{listed[c]} has {held[c]}" for c in np.flatnonzero(held != count)]
            if odd:
                what = f"{folder / part}: {len(odd)} classes have not {count} images: {first_names(odd)}"
                problems.append(Problem(what, MEND))
            else:
                for c, name in enumerate(listed):
                    of_class = data[labels == c].reshape(count, COLOURS, SIDE, SIDE)
                    images[names.index(name), first : first + count] = of_class.transpose(0, 2, 3, 1)
        first += count
    if problems:
        raise DataError(*problems)
    return images.reshape(len(names), -1, SIDE, SIDE * COLOURS)


def _class_names(path: Path, names: list[str], problems: list[Problem]) -> list[str]:
    """Return the classes' names by label."""
    content = _unpickled(path, problems)
    if content is None:
        return names
    listed = content.get(b"fine_label_names")
    if isinstance(listed, list) and all(isinstance(name, bytes) for name in listed):
        found = [name.decode("latin1") for name in listed]
        if sorted(found) == sorted(names):
            return found
    problems.append(Problem(f"{path}: fine_label_names are not the {len(names)} classes of CIFAR-100", MEND))
    return names


def _batch(path: Path, classes: int, problems: list[Problem]) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
    """Images [N, 3072] and labels [N] of a file; None where there is a problem."""
    content = _unpickled(path, problems)
    if content is None:
        return None
    data, labels = _as_array(content.get(b"data")), content.get(b"fine_labels")
    if data is None:
        problems.append(Problem(f"{path}: 'data' is no array of bytes, {PIXELS} an image", MEND))
    elif (
        not isinstance(labels, list)
        or len(labels) != len(data)
        or not all(type(label) is int and 0 <= label < classes for label in labels)
    ):
        what = f"{path}: 'fine_labels' is no list of {len(data)} numbers from 0 to {classes - 1}"
        problems.append(Problem(what, MEND))
    else:
        return data, np.array(labels, dtype=np.int64)
    return None


class _Recorded:
    """Stands in for an array, and for its type: keeps what a pickle says of it, and does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Reader(pickle.Unpickler):
    """Reads plain data and arrays. A pickle that asks for anything else is refused: it could run any program."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {
            *(("numpy", "ndarray"), ("numpy", "dtype")),
            *(("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")),
        }:
            return _Recorded
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no file of CIFAR-100 does")


def check_tuples(data: bytes) -> None:
    """Refuse a tuple that is in others twice: a few bytes can hold one in which hashing it never ends.

    Raises:
        pickle.UnpicklingError: there is one.
    """
    tuples: set[Any] = set()  # where they are remembered
    remembered, last = 0, ""
    argument: Any
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            place = remembered if opcode.name == "MEMOIZE" else int(argument)
            (tuples.add if last in TUPLES else tuples.discard)(place)
            remembered += 1
            continue
        again = opcode.name in ("GET", "BINGET", "LONG_BINGET") and int(argument) in tuples
        if again or opcode.name in ("DUP", "POP", "POP_MARK", "FROZENSET"):
            raise pickle.UnpicklingError("it holds something twice, which no file of CIFAR-100 does")
        last = opcode.name


def _unpickled(path: Path, problems: list[Problem]) -> dict[Any, Any] | None:
    """Return a file's mapping; None where there is a problem."""
    try:
        data = read_bounded(path, LARGEST)
        check_tuples(data)
        content = _Reader(io.BytesIO(data), encoding="bytes").load()
    except OSError as error:
        problems.append(Problem(f"{path}: cannot be read: {error.strerror}", FIX))
    except Exception as error:  # broken bytes may fail in any way at all
        problems.append(Problem(f"{path}: truncated or not of CIFAR-100: {error or type(error).__name__}", MEND))
    else:
        if isinstance(content, dict):
            return content
        problems.append(Problem(f"{path}: no mapping, but a {type(content).__name__}", MEND))
    return None


def _as_array(recorded: Any) -> NDArray[np.uint8] | None:
    """[N, 3072]; None where what was recorded is no such array."""
    if not isinstance(recorded, _Recorded) or not isinstance(recorded.state, tuple) or len(recorded.state) != 5:
        return None
    _, shape, kind, by_column, data = recorded.state
    if not isinstance(kind, _Recorded) or kind.arguments[:1] not in ((b"u1",), ("u1",)) or by_column:
        return None
    if not isinstance(data, bytes) or shape != (len(data) // PIXELS, PIXELS) or len(data) % PIXELS:
        return None
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)
