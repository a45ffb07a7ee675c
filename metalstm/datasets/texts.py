"""Texts of a person's own: a file of lines, each an example. Legend: S words, K tokens of a word at most."""

from __future__ import annotations

from collections.abc import Callable

from metalstm.datasets.reader import BrokenLine, Example
from metalstm.datasets.tokens import Vocabulary, encode, words


def read_lines(data: bytes, max_words: int | None) -> tuple[dict[int, list[str]], int]:
    """The first words of each line that is not blank, by its number from 1; and how many lines were cut."""
    texts = {number: words(line) for number, line in enumerate(as_text(data).split("\n"), start=1) if line.strip()}
    for number, text in texts.items():
        if not text:
            raise BrokenLine(number, "there are no words in it")
    if not texts:
        raise ValueError("there are no lines in it")
    cut = 0 if max_words is None else sum(len(text) > max_words for text in texts.values())
    return {number: text[:max_words] for number, text in texts.items()}, cut


def as_text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BrokenLine(data[: error.start].count(b"\n") + 1, "it is not UTF-8 text") from error


def line_reader(vocabulary: Vocabulary, max_words: int | None) -> Callable[[bytes], list[Example]]:
    """From a text's content to the tokens [S, K] of each of its lines."""

    def read(data: bytes) -> list[Example]:
        lines, _ = read_lines(data, max_words)
        return [Example(number, encode([[text]], vocabulary)[0][0, 0]) for number, text in lines.items()]

    return read
