"""Texts of a person's own: a file of lines, each an example. Legend: S words, K tokens of a word at most."""

from __future__ import annotations

import codecs
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from metalstm.datasets.files.reader import BrokenFile, BrokenLine, Example
from metalstm.datasets.text.tokens import NEW_SCRIPTS, Vocabulary, encode, normalised, words
from metalstm.files.writing import read_bounded

log = logging.getLogger(__name__)

LARGEST_TEXT = 256 * 2**20  # bytes of a file
LONGEST_LINE = 1_000_000  # characters, those beyond are cut off
MARKS = {  # of an encoding, at the start of a file; UTF-32 first, for it begins as UTF-16 does
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}


class Lines(NamedTuple):
    """The lines of a text as words."""

    texts: dict[int, list[str]]  # the words of a line, by its number from 1
    cut: int  # lines that were longer
    wordless: dict[int, str]  # lines without a word, which are left out, but for blank ones
    new_scripts: bool  # whether there is what was cut into words in another way before


def read_lines(data: bytes, max_words: int | None) -> Lines:
    """Return the first words of each line."""
    found = Lines({}, 0, {}, False)
    most = None if max_words is None else max_words + 1
    for number, line in enumerate(re.split("\r\n|\n|\r", as_text(data)), start=1):
        kept = line[:LONGEST_LINE]
        text = words(kept, most)
        if text:
            found.texts[number] = text[:max_words]
        elif line.strip():
            found.wordless[number] = line.strip()[:40]
        longer = len(line) > len(kept) or len(text) > len(text[:max_words])
        new = found.new_scripts or (not kept.isascii() and NEW_SCRIPTS.search(normalised(kept)) is not None)
        found = found._replace(cut=found.cut + longer, new_scripts=new)
    return found


def text_content(path: Path) -> bytes:
    """Return a text's content; `ValueError` where it is larger than a text may be."""
    return read_bounded(path, LARGEST_TEXT)


def as_text(data: bytes) -> str:
    """Text in UTF-8, or in what the mark at its start says.

    Raises:
        BrokenLine: it is neither.
    """
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, errors="replace")
        shown = encoding.removesuffix("-sig").upper()
        what = f"it is not {shown} text: {error.reason} {data[error.start]:#04x}"
        fix = f"save it as {shown}"
        if encoding == "utf-8":
            fix += f", e.g. iconv -f WINDOWS-1252 -t UTF-8, or mend the line; {', '.join(others())} need their mark"
        raise BrokenLine(before.count("\n") + 1, what, fix) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        what = "it is not UTF-8 text: it has null characters, as UTF-16 without its mark has"
        raise BrokenLine(line, what, "save it as UTF-8, or as UTF-16 with a byte order mark")
    return text


def others() -> list[str]:
    """Return the encodings that are known by their mark."""
    return sorted({name.upper() for name in MARKS.values() if not name.startswith("utf-8")})


def line_reader(vocabulary: Vocabulary, max_words: int | None) -> Callable[[bytes], list[Example]]:
    """From a text's content to the tokens [S, K] of each of its lines."""

    def read(data: bytes) -> list[Example]:
        lines = read_lines(data, max_words)
        if not lines.texts:
            raise BrokenFile("there is no line with a word in it")
        if lines.wordless:
            number, line = next(iter(lines.wordless.items()))
            log.warning("%s", left_out(len(lines.wordless), f"line {number}: {line!r}"))
        return [Example(number, encode([[text]], vocabulary)[0][0, 0]) for number, text in lines.texts.items()]

    return read


def left_out(lines: int, such: str) -> str:
    """Return a word on the lines without a word."""
    return f"{lines} lines without a word are left out, such as {such}"
