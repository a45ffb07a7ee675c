"""Tables on a screen: they fit it, and lose nothing."""

from __future__ import annotations

import json
import math

import pytest

from metalstm.files.writing import as_json
from metalstm.reporting.text_tables import table, table_in_parts, wrapped


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("COLUMNS", "40")
    return monkeypatch


def test_wide_cells_take_several_lines(columns: pytest.MonkeyPatch) -> None:
    text = table(("state", "result", "run"), [("failed", "x" * 60), ("[red]y", "\x1b[2J")], ["p" * 50, "short"])
    heading, *lines = text.splitlines()
    assert heading.split() == ["state", "result"]
    assert [len(line) <= 40 for line in lines if "p" not in line] == [True] * 4
    assert text.count("x") == 60 + 1  # of the other cell
    assert lines[2:] == [f"  {'p' * 50}", "[red]y  \\x1b[2J", "  short"]  # neither markup nor what a terminal would do


def test_what_is_below_stands_beside_where_there_is_room(columns: pytest.MonkeyPatch) -> None:
    text = table(("state", "result", "run"), [("failed", "no room"), ("over", "-")], ["here", "there"])
    assert [line.split() for line in text.splitlines()] == [
        ["state", "result", "run"],
        *(["failed", "no", "room", "here"], ["over", "-", "there"]),
    ]


def test_many_columns_go_on_below(columns: pytest.MonkeyPatch) -> None:
    text = table_in_parts(("name", "a", "b", "c"), [("one", "1" * 20, "2" * 15, "3" * 30), ("two", "-", "-", "-")])
    assert [line.split() for line in text.splitlines() if line] == [
        *(["name", "a"], ["one", "1" * 20], ["two", "-"]),
        *(["name", "b"], ["one", "2" * 15], ["two", "-"]),
        *(["name", "c"], ["one", "3" * 30], ["two", "-"]),
    ]


@pytest.mark.parametrize("width", ["20", "33", "80", "500"])
def test_it_fits_any_screen(width: str, columns: pytest.MonkeyPatch) -> None:
    columns.setenv("COLUMNS", width)
    heading = ["learner", "accuracy", *(f"difference from number {n}" for n in range(7))]
    rows = [[f"learner{n}", *("手書き 97.18% ± 0.13%" for _ in heading[1:])] for n in range(3)]
    text = table_in_parts(heading, rows) + wrapped("a sentence of a few words, and a little more")
    assert max(map(len, text.splitlines())) <= int(width)
    assert text.count("手") == 3 * 8


def test_numbers_that_json_has_no_word_for() -> None:
    content = {"a": [math.nan, 1.5], "b": (math.inf, None)}
    assert json.loads(as_json(content)) == {"a": [None, 1.5], "b": [None, None]}
