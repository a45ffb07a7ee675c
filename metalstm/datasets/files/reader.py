"""How a person's own files become inputs as a trained model expects them: what `metalstm-adapt` asks of a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from metalstm.errors import DataError, Problem
from metalstm.files.writing import read_bounded


class Read(NamedTuple):
    """A file as numbers."""

    values: Tensor  # of an image [H, W, 3] uint8; else [S, F] float32
    more: bool = False  # whether there is more in the file than was read
    note: str = ""  # what a person should hear about it
    how: str = ""  # how it was read, where not as it is: part of a fingerprint


class Example(NamedTuple):
    """One example of a file."""

    line: int | None  # of the file, from 1; None: the file is the example
    values: Tensor  # [S, F]: uint8, where 0..255 stands for 0..1; float32; or int64, tokens
    note: str = ""  # what a person should hear about the file


@dataclass(frozen=True)
class Reader:
    """Reads files as the examples of a dataset were read, with what was learned of meta-train.

    Args:
        kind: of file, one of `files_by_kind.KINDS`.
        values: from a file's content to its examples; `ValueError` and the like say what is wrong with it.
        content: of a file, as much as is read.
    """

    kind: str
    values: Callable[[bytes], list[Example]]
    content: Callable[[Path], bytes] = lambda path: read_bounded(path)

    def read(self, path: Path) -> list[Example]:
        """Return the examples in a file, one or more.

        Raises:
            DataError: it cannot be read.
        """
        try:
            found = self.values(self.content(path))
        except UNREADABLE as error:
            problem = broken(path, error)
            fix = AS_TRAINED if "dataset." in problem.fix else problem.fix  # a trained run's settings stay
            raise DataError(Problem(problem.what, fix)) from error
        return found


# Readers of files raise these on broken ones: SyntaxError is Pillow's.
UNREADABLE = (ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError, ValueError)


AS_TRAINED = "give it the form and the columns of the files that the run was trained on"
MEND = "mend this file, or remove it"


class BrokenFile(ValueError):
    """Return the problem with a file, and its remedy."""

    def __init__(self, what: str, fix: str = MEND) -> None:
        super().__init__(what)
        self.fix = fix


class BrokenLine(BrokenFile):
    """Return the problem with a line of a file, and its remedy."""

    def __init__(self, line: int, what: str, fix: str = MEND) -> None:
        super().__init__(what, fix)
        self.line = line


def broken(path: Path, error: BaseException) -> Problem:
    """Return the problem of a file that cannot be read."""
    return Problem(f"{path}{reason(error)}", error.fix if isinstance(error, BrokenFile) else MEND)


def reason(error: BaseException) -> str:
    """Return what stands behind a file's name where it is broken."""
    if isinstance(error, BrokenLine):
        return f", line {error.line}: {error}"
    if isinstance(error, BrokenFile):
        return f": {error}"
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f": cannot be read: {said.splitlines()[0] if said else 'it ends too early'}"


def said_together(notes: Sequence[tuple[Path, str]]) -> list[str]:
    """Each note once, with how many of the files it is about; those without one are counted."""
    counts = Counter(note for _, note in notes if note)
    where = {note: path for path, note in reversed(notes)}
    return [f"{count:,} of {len(notes):,} files, such as {where[note]}: {note}" for note, count in counts.items()]


class Scale(NamedTuple):
    """Shifts and scales every feature to the mean 0 and the standard deviation 1 that it has over meta-train."""

    mean: Tensor  # [F] float32
    deviation: Tensor  # [F] float32

    def __call__(self, values: Tensor) -> Tensor:
        return (values - self.mean) / self.deviation


def scale_of(known: Tensor, flat: float | Tensor) -> Scale:
    """Return the scale of values [N, F]; a feature whose standard deviation is not above `flat` is shifted alone."""
    known = known.double()
    mean, deviation = known.mean(dim=0), known.std(dim=0, correction=0)
    return Scale(mean.float(), deviation.where(deviation > flat, 1).float())


def whole(values: Tensor, note: str = "") -> list[Example]:
    """Return the examples of a file that is one."""
    return [Example(None, values, note)]


def as_float(values: Tensor) -> Tensor:
    """Return inputs as a model reads them: 0..255 as 0..1, all else as it is."""
    return values.float() / 255 if values.dtype == torch.uint8 else values
