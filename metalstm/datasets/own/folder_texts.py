"""The lines of text files, a folder or file a class."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import NamedTuple

from metalstm.datasets.files.folders import Classes
from metalstm.datasets.files.reader import UNREADABLE, broken
from metalstm.datasets.own.folder_readers import ReadingSettings
from metalstm.datasets.text.texts import Lines, left_out, read_lines, text_content
from metalstm.errors import DataError, Problem, first_few

log = logging.getLogger(__name__)

MOSTLY = 0.9  # of the words of a text that are numbers: it may be a table


class Texts(NamedTuple):
    """The lines of all classes."""

    of_class: dict[str, list[list[str]]]
    fingerprint: bytes  # of all files
    cut: int  # lines that are longer than is read
    wordless: int  # lines without a word
    new_scripts: bool  # whether there is what was cut into words in another way before


def read_texts(classes: Classes, settings: ReadingSettings) -> Texts:
    """Read the lines of every class.

    Raises:
        DataError: with each file that cannot be read.
    """
    texts: dict[str, list[list[str]]] = {name: [] for name in classes}
    found: list[tuple[Path, Lines]] = []
    digests: list[bytes] = []
    problems: list[Problem] = []
    for name, file in [(name, file) for name, files in classes.items() for file in files]:
        try:
            data = text_content(file)
            lines = read_lines(data, settings.max_steps)
        except UNREADABLE as error:
            problems.append(broken(file, error))
            continue
        digests.append(hashlib.sha256(json.dumps([name, file.name]).encode() + data).digest())
        found.append((file, lines))
        texts[name] += lines.texts.values()
    if problems:
        raise DataError(*first_few(problems))
    wordless = [f"{file}, line {number}: {line!r}" for file, lines in found for number, line in lines.wordless.items()]
    if wordless:
        log.warning("%s", left_out(len(wordless), wordless[0]))
    if numbers(texts):
        log.warning("the lines are numbers: if the files are tables, rows of which are steps, name them .csv")
    cut = sum(lines.cut for _, lines in found)
    return Texts(texts, b"".join(digests), cut, len(wordless), any(lines.new_scripts for _, lines in found))


def numbers(texts: dict[str, list[list[str]]]) -> bool:
    """Whether nearly all that texts have is numbers."""
    shares = [word[:1].isdecimal() for lines in texts.values() for line in lines for word in line]
    return sum(shares) > MOSTLY * len(shares)
