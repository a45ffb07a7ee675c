"""Problems of a kind are named one by one up to five; the rest are counted."""

from __future__ import annotations

from metalstm.errors import Problem, first_few, first_names


def problems(count: int) -> list[Problem]:
    return [Problem(f"{n} is odd", f"mend {n}") for n in range(count)]


def test_five_are_all_named() -> None:
    assert first_few(problems(5)) == problems(5)
    assert first_few([]) == []


def test_of_more_the_rest_is_counted() -> None:
    assert first_few(problems(7)) == [*problems(5), Problem("2 more such problems", "mend 6")]
    said = first_few(problems(6), "such lines", "mend all", where="a.csv: ")
    assert said == [*problems(5), Problem("a.csv: 1 more such lines", "mend all")]


def test_names() -> None:
    assert first_names(list("abcde")) == "a, b, c, d, e"
    assert first_names(list("abcdef")) == "a, b, c, d, e, ..."
