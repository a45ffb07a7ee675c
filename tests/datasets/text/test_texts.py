"""Lines of text as people have them: scripts without spaces, emoji, other encodings, and lines without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from metalstm.datasets.files.reader import UNREADABLE, Reader, broken
from metalstm.datasets.own.folder import load_folder
from metalstm.datasets.text import texts
from metalstm.datasets.text.texts import line_reader, read_lines, text_content
from metalstm.datasets.text.tokens import LONGEST_WORD, TokenSettings, Vocabulary
from metalstm.errors import DataError


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """`write(last)`: 6 classes of 3 lines; of the first class the last line is as given."""

    def made(last: str) -> Path:
        for label in range(6):
            (tmp_path / f"class{label}").mkdir()
            lines = [f"please word{label}", f"now word{label}", last if label == 0 else "thanks"]
            (tmp_path / f"class{label}" / "lines.txt").write_text("\n".join(lines) + "\n")
        return tmp_path

    return made


def test_a_line_of_emoji_is_an_example(write: Callable[[str], Path]) -> None:
    dataset = load_folder(write("\U0001f600\U0001f44d"))
    assert any(line.startswith("examples  18: 3 to 3 a class") for line in dataset.details)


def test_lines_without_a_word_are_left_out_and_counted(
    write: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    dataset = load_folder(write("?! ..."))
    assert any(line.startswith("examples  17: 2 to 3 a class") for line in dataset.details)
    assert any("1 lines without a word left out" in line for line in dataset.details)
    assert "1 lines without a word are left out, such as" in caplog.text
    assert "lines.txt, line 3: '?! ...'" in caplog.text


def test_a_class_without_a_word_is_refused(write: Callable[[str], Path]) -> None:
    root = write("x")
    (root / "class3" / "lines.txt").write_text("...\n\n")
    with pytest.raises(DataError, match="class 'class3' has no examples, no line with a word"):
        load_folder(root)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_are_read(encoding: str) -> None:
    assert read_lines("größe\r\nзавтра".encode(encoding), None).texts == {1: ["größe"], 2: ["завтра"]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"one\ntwo\ngr\xf6\xdfe\n", ["x.txt, line 3: it is not UTF-8 text", "0xf6", "WINDOWS-1252"]),
        ("one\n".encode("utf-16-le"), ["x.txt, line 1: it is not UTF-8 text", "null", "UTF-16"]),
        (b"\xff\xfeo\0n\0\n", ["x.txt, line 1: it is not UTF-16 text"]),
    ],
)
def test_encodings_that_are_named(data: bytes, words: list[str]) -> None:
    with pytest.raises(UNREADABLE) as error:
        read_lines(data, None)
    problem = str(broken(Path("x.txt"), error.value))
    assert all(word in problem for word in words), problem


def test_only_new_scripts_change_the_fingerprint() -> None:
    assert not read_lines("what's café Größe Яндекс 2.5".encode(), None).new_scripts
    assert read_lines("हिन्दी".encode(), None).new_scripts


def test_lines_and_words_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = read_lines(b"x" * 50_000_000 + b"\n" + b"ab " * 1000, 500)
    assert [len(words) for words in lines.texts.values()] == [1, 500]
    assert len(lines.texts[1][0]) == LONGEST_WORD
    assert lines.cut == 2
    monkeypatch.setattr(texts, "LARGEST_TEXT", 100)
    (tmp_path / "x.txt").write_text("word " * 100)
    with pytest.raises(UNREADABLE, match="at most 100 are read"):
        text_content(tmp_path / "x.txt")


def test_a_file_of_ones_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader("texts", line_reader(Vocabulary([["one", "two"]], TokenSettings(min_count=1)), None))
    (tmp_path / "x.txt").write_text("one\n!!\ntwo two\n")
    assert [(example.line, len(example.values)) for example in reader.read(tmp_path / "x.txt")] == [(1, 1), (3, 2)]
    assert "1 lines without a word are left out, such as line 2: '!!'" in caplog.text
    (tmp_path / "x.txt").write_text("!!\n")
    with pytest.raises(DataError, match="no line with a word"):
        reader.read(tmp_path / "x.txt")


@pytest.mark.parametrize("text", ["\ua9b2\ua98f\ua9b1", "\ua188\ua320\ua259", "\u1b13\u1b05\u1b2d"])
def test_further_scripts_without_spaces(text: str) -> None:
    lines = read_lines(text.encode(), None)  # Javanese, Yi, Balinese
    assert len(lines.texts[1]) == 3
    assert lines.new_scripts


def test_tables_named_as_texts_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for label in range(6):
        (tmp_path / f"class{label}").mkdir()
        (tmp_path / f"class{label}" / "0.txt").write_text("1.5e+00 -2.5e+00\n3.0e-01 4.0e+00\n")
    load_folder(tmp_path)
    assert "if the files are tables, rows of which are steps, name them .csv" in caplog.text
