"""A task of a person's own: a support set of files in labelled folders, and files to be told apart.

Legend: B examples, S time steps, F features.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from metalstm.datasets.files.folders import find_classes, find_files
from metalstm.datasets.files.reader import Reader, as_float, said_together
from metalstm.errors import DataError, Problem, first_few
from metalstm.tasks.examples import Examples

log = logging.getLogger(__name__)


class OwnExamples(NamedTuple):
    """Examples read from files."""

    names: list[str]  # B times the file's path in its folder, with the line where it has several
    values: list[Tensor]  # B times [S, F]
    labels: list[int]  # B places among the support set's labels; all 0 where they are not known


def read_support(folder: Path, reader: Reader) -> tuple[list[str], OwnExamples]:
    """Return the labels, which are the names of the sub-folders in order, and the examples in them.

    Raises:
        DataError: with every problem found; or fewer than two labels.
    """
    _, classes = find_classes(folder, reader.kind)
    if len(classes) < 2:
        raise DataError.of(
            f"{folder}: the support set has one label, '{next(iter(classes))}', but telling classes apart takes 2",
            "add a sub-folder for another label",
        )
    files = [(file, label) for label, name in enumerate(classes) for file in classes[name]]
    return list(classes), read_files(folder, reader, files)


def read_query(folder: Path, reader: Reader) -> OwnExamples:
    """Return the examples in a folder and its sub-folders.

    Raises:
        DataError: with every problem found; or there is none.
    """
    return read_files(folder, reader, [(file, 0) for file in find_files(folder, reader.kind)])


def read_files(folder: Path, reader: Reader, files: Sequence[tuple[Path, int]]) -> OwnExamples:
    """Return the examples of files with their labels.

    Raises:
        DataError: naming the files that cannot be read.
    """
    found = OwnExamples([], [], [])
    problems: list[Problem] = []
    notes: list[tuple[Path, str]] = []
    for file, label in files:
        try:
            examples = reader.read(file)
        except DataError as error:
            problems += error.problems
            continue
        for example in examples:
            name = file.relative_to(folder).as_posix()
            found.names.append(name if example.line is None else f"{name}:{example.line}")
            found.values.append(example.values)
            found.labels.append(label)
            notes.append((file, example.note))
    if problems:
        raise DataError(*first_few(problems))
    for warning in said_together(notes):
        log.warning("%s", warning)
    return found


def check_steps(folder: Path, own: OwnExamples, steps: int) -> None:
    """Whether all are as long as a model that reads them whole was trained for.

    Raises:
        DataError: naming those that are not.
    """
    problems = [
        Problem(f"{folder / name}: {len(values)} steps, but the run's model reads {steps}", "give files of that length")
        for name, values in zip(own.names, own.values, strict=True)
        if len(values) != steps
    ]
    if problems:
        raise DataError(*first_few(problems))


def as_examples(own: OwnExamples) -> Examples:
    """As the examples of a single task: inputs [1, B, S, F], padded to the longest."""
    lengths = torch.tensor([[len(values) for values in own.values]])
    inputs = pad_sequence([as_float(values) for values in own.values], batch_first=True).unsqueeze(0)
    several = bool((lengths < inputs.shape[2]).any())
    return Examples(inputs, torch.tensor([own.labels]), lengths if several else None)
