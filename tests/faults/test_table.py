"""The table in `README.md` names every fault, and tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stress.torture import __main__ as torture
from support.places import REPOSITORY

TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
FAULTS, BAD_INPUTS = 41, 32


def rows() -> list[list[str]]:
    """The cells of all rows under the headings."""
    text = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| # ", "| input "))]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_fault_has_its_row() -> None:
    numbered = [cells for cells in rows() if cells[0].isdigit()]
    assert [int(cells[0]) for cells in numbered] == list(range(1, FAULTS + 1))
    assert len(rows()) == FAULTS + BAD_INPUTS


@pytest.mark.parametrize("cells", rows(), ids=lambda cells: cells[1] if cells[0].isdigit() else cells[0])
def test_its_tests_exist(cells: list[str]) -> None:
    held = cells[2] if cells[0].isdigit() else cells[1]
    named = TEST.findall(held)
    assert named or held.startswith("not there yet: ")
    assert len(named) == held.count("::")
    for file, test in named:
        source = (REPOSITORY / file).read_text(encoding="utf-8")
        assert re.search(rf"^def {test}\(", source, re.MULTILINE), f"{file} has no {test}"


def test_parts_of_the_long_selection_exist() -> None:

    parts = {part for cells in rows() if len(cells) > 3 for part in re.findall(r"`(\w+)`", cells[3])}
    assert parts == set(torture.PARTS)
