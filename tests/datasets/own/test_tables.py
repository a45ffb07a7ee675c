"""Tables as people have them: each form is read as the numbers that it stands for, or named with line and remedy."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from metalstm.datasets.base import Dataset
from metalstm.datasets.files.reader import UNREADABLE, broken
from metalstm.datasets.own import tables
from metalstm.datasets.own.folder import load_folder
from metalstm.datasets.own.tables import TableSettings, read_csv, table_content
from metalstm.errors import DataError
from metalstm.tasks.classes import ClassDataset

Write = Callable[[Callable[[int, int], str]], Path]
PLAIN = TableSettings()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(content)`: 6 classes of 4 csv files, each as `content(label, number)` says."""

    def made(content: Callable[[int, int], str]) -> Path:
        for label in range(6):
            (tmp_path / f"class{label}").mkdir(exist_ok=True)
            for number in range(4):
                (tmp_path / f"class{label}" / f"{number}.csv").write_text(content(label, number))
        return tmp_path

    return made


def rows(label: int, number: int, columns: int = 2) -> np.ndarray:
    values: np.ndarray = np.random.default_rng(10 * label + number).normal(label, 1, (5, columns)).round(3)
    return values


def lines(values: np.ndarray, separator: str = ",") -> str:
    return "".join(separator.join(map(str, row)) + "\n" for row in values.tolist())


def everything(dataset: Dataset) -> list[torch.Tensor]:
    return [pool.examples for pool in dataset.splits.values() if isinstance(pool, ClassDataset)]


def same(one: Dataset, other: Dataset) -> bool:
    return all(torch.equal(a, b) for a, b in zip(everything(one), everything(other), strict=True))


def refused(root: Path, settings: TableSettings = PLAIN) -> str:
    with pytest.raises(DataError) as error:
        load_folder(root, tables=settings)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "names", "values"),
    [
        ("a;b\n1,5;2\n-2,25;3\n", ["a", "b"], [[1.5, 2], [-2.25, 3]]),
        ("1,5;2,5\n", ["column1", "column2"], [[1.5, 2.5]]),
        ("sep=;\r\na;b\r\n1;2\r\n", ["a", "b"], [[1, 2]]),
        (" 1.0e+00  2.0\n-3.0\t4.0\n", ["column1", "column2"], [[1, 2], [-3, 4]]),
        ("1,5 2,5\n3,5 4,5\n", ["column1", "column2"], [[1.5, 2.5], [3.5, 4.5]]),
        ("a\tb\n1\t2\n", ["a", "b"], [[1, 2]]),
        ("a|b\n1|2\n", ["a", "b"], [[1, 2]]),
        ('"a","b"\r\n"1","2"\r\n', ["a", "b"], [[1, 2]]),
        ("\ufeffa, b\n1, 2\n", ["a", "b"], [[1, 2]]),
        ("# by hand\n\na,b\n1,2\n# a pause\n3,4\n", ["a", "b"], [[1, 2], [3, 4]]),
        ("# a b\n1.0 2.0\n", ["a", "b"], [[1, 2]]),
        ('a,b\n"1,234.5",2\n', ["a", "b"], [[1234.5, 2]]),
        ("a;b\n1.234,5;2\n", ["a", "b"], [[1234.5, 2]]),
        ("a;b\n0,123;2\n", ["a", "b"], [[0.123, 2]]),
        ("a,b,\n1,2,\n3,4,\n", ["a", "b"], [[1, 2], [3, 4]]),
        ('"x" "y"\n"1" 0.5 0.6\n', ["column1", "x", "y"], [[1, 0.5, 0.6]]),
        (",0,1\n0,1.5,2\n", ["column1", "0", "1"], [[0, 1.5, 2]]),
        ("v,t\n1,2024-01-01 23:59:59\n2,2024-01-02T00:00:00.5\n", ["v", "t"], [[1, 0], [2, 1.5]]),
        ("t,v\n10:00:00,1\n10:01:00,2\n", ["t", "v"], [[0, 1], [60, 2]]),
        ("a,a\n1,2\n", ["a", "a.2"], [[1, 2]]),
        ("a,b\r1,2\r", ["a", "b"], [[1, 2]]),
    ],
)
def test_forms_that_are_recognised(text: str, names: list[str], values: list[list[float]]) -> None:
    table = read_csv(text.encode(), 500, PLAIN)
    assert (list(table.names), table.values.tolist()) == (names, values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n3,walk\n", ["line 3: 'walk' is not a number, in column 'b'", "dataset.drop=[b]"]),
        ("a,m s\n1,walk\n", ["dataset.drop=['m s']"]),
        ("t,v\n01/02/2024 10:00,1\n", ["line 2: '01/02/2024 10:00' is not a number", "2024-12-31", "drop=[t]"]),
        ("a,b\n1,2\n,2\n", ["line 3: there is nothing in column 'a'", "drop=[a]"]),
        ("# x\na;b\n1,5;2.5\n", ["line 3: '2.5' is not a number with a decimal comma"]),
        ("a;b\n1,234;2\n", ["1,234 may be", "dataset.decimal=comma or dataset.decimal=point"]),
        ("a,b\ns,V\n1,2\n", ["line 2: there is no number in it, after the header", "#"]),
        ('a,b\n"1,2\n', ["line 2: a quote is not closed"]),
        ("a,b\n1,2\n\n1,2,3\n", ["line 4: 3 columns, but 2 before"]),
        ("a,b\n", ["no rows of numbers"]),
    ],
)
def test_what_is_named_with_line_and_remedy(text: str, words: list[str]) -> None:
    with pytest.raises(UNREADABLE) as error:
        read_csv(text.encode(), 500, PLAIN)
    problem = broken(Path("x.csv"), error.value)
    assert all(word in str(problem) for word in words), problem


def test_settings_that_read_what_is_named() -> None:
    labelled = b"a,b,label\n1,2,walk\n"
    assert read_csv(labelled, 500, TableSettings(drop=["label"])).values.tolist() == [[1, 2]]
    assert read_csv(labelled, 500, TableSettings(columns=["b"])).values.tolist() == [[2]]
    assert read_csv(b"1,234;2\n", 500, TableSettings(decimal="comma")).values.tolist() == [[1.234, 2]]
    assert read_csv(b"1,234;2\n", 500, TableSettings(decimal="point")).values.tolist() == [[1234, 2]]
    assert read_csv(b"1,2\n3,4\n", 500, TableSettings(header=True)).names == ("1", "2")


def test_plain_numbers_are_read_bit_by_bit() -> None:
    values = np.random.default_rng(0).normal(size=(200, 3)) * 10.0 ** np.arange(-9, 9, 6)
    assert np.array_equal(read_csv(lines(values).encode(), 500, PLAIN).values, values)


def test_other_encodings() -> None:
    text = "°C,b\n1,2\n"
    for encoding in ("utf-16", "utf-32", "utf-8-sig"):
        assert read_csv(text.encode(encoding), 500, PLAIN).names == ("°C", "b")


def test_columns_in_another_order_are_matched_by_name(write: Write) -> None:
    ordered = load_folder(write(lambda label, number: "temp,load\n" + lines(rows(label, number))))
    mixed = load_folder(
        write(
            lambda label, number: (
                "load,temp\n" + lines(rows(label, number)[:, ::-1])
                if label % 2
                else "temp,load\n" + lines(rows(label, number))
            )
        )
    )
    assert same(ordered, mixed)
    assert mixed.fingerprint != ordered.fingerprint
    assert any("matched by name: 'temp', 'load'" in line for line in mixed.details)


def test_other_names_and_missing_headers_are_refused(write: Write) -> None:
    root = write(lambda label, number: "a,b\n" + lines(rows(label, number)))
    (root / "class2" / "1.csv").write_text("a,c\n" + lines(rows(2, 1)))
    assert "class2/1.csv: columns 'a', 'c', but" in (said := refused(root))
    assert "0.csv has 'a', 'b'" in said
    (root / "class2" / "1.csv").write_text(lines(rows(2, 1)))
    assert "class2/1.csv: no header, but" in refused(root)


@pytest.mark.parametrize("head", [",a,b\n", "index,a,b\n", ""])
def test_an_index_is_left_out(head: str, write: Write) -> None:
    plain = load_folder(
        write(lambda label, number: head.replace(",a", "a").replace("index", "") + lines(rows(label, number)))
    )

    def with_index(label: int, number: int) -> str:
        return head + lines(np.column_stack([np.arange(5), rows(label, number)]))

    dataset = load_folder(write(with_index))
    assert same(plain, dataset)
    assert any("counts the rows and is left out" in line for line in dataset.details)
    name = head.split(",")[0] or "column1"
    names = [name, "a", "b"] if head else ["column1", "column2", "column3"]
    assert load_folder(write(with_index), tables=TableSettings(columns=names)).features == 3


def test_a_column_that_counts_in_some_files_only_is_kept(write: Write) -> None:
    def content(label: int, number: int) -> str:
        return lines(np.column_stack([np.arange(5) * (1 + label % 2), rows(label, number)]))

    assert load_folder(write(content)).features == 3


def test_a_header_of_numbers(write: Write) -> None:
    root = write(lambda label, number: "0,1\n" + lines(rows(label, number)))
    assert load_folder(root).steps == 5
    assert load_folder(root, tables=TableSettings(header=False)).steps == 6


def test_what_may_be_meant_otherwise_is_said(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    def content(label: int, number: int) -> str:
        return "2019,2020\n" + lines(np.column_stack([1.7e9 + np.arange(5) * 2, rows(label, number)[:, 0]]))

    load_folder(write(content))
    assert "all 24 tables begin with 2019, 2020: if that is a header, give dataset.header=true" in caplog.text
    load_folder(write(content), tables=TableSettings(header=True, drop=[]))
    root = write(lambda label, number: "t,v\n" + content(label, number).partition("\n")[2])
    load_folder(root)
    assert "column 't' may be times since 1970: if so, leave it out with dataset.drop=[t]" in caplog.text


def test_a_file_of_ones_own_is_read_as_the_data(write: Write, tmp_path: Path) -> None:
    root = write(lambda label, number: "i,temp,load\n" + lines(np.column_stack([np.arange(5), rows(label, number)])))
    reader = load_folder(root).reader
    assert reader is not None
    expected = reader.read(root / "class1" / "0.csv")[0].values
    own = tmp_path / "own.csv"
    own.write_text("load;temp\n" + lines(rows(1, 0)[:, ::-1], ";").replace(".", ","))
    assert torch.equal(reader.read(own)[0].values, expected)
    own.write_text(lines(rows(1, 0)))
    with pytest.raises(DataError, match=r"no header, but the run reads one: 'i', 'temp', 'load'"):
        reader.read(own)


def test_of_a_long_table_only_the_start_is_read(tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    file.write_bytes(b"# a comment\na,b\n" + b"1.5,2.5\n" * 2_000_000)
    tracemalloc.start()
    table = read_csv(table_content(file, 500), 500, PLAIN)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    assert 500 < len(table.values) < 510


def test_a_line_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LONGEST_LINE", 1000)
    file = tmp_path / "x.csv"
    file.write_bytes(b"1,2\n" + b"1," * 1000)
    with pytest.raises(UNREADABLE, match="longer than"):
        table_content(file, 500)


def noise(label: int, number: int) -> list[float]:
    return rows(label, number)[:, 0].tolist()


@pytest.mark.parametrize(
    ("column", "what"),
    [
        (lambda label, row: 7 * label + row * row, "the rows' numbers, which only grow"),
        (lambda label, row: label, "a label, the same in all rows of a file"),
    ],
)
@pytest.mark.parametrize("header", [",x", "id,x", "x,id"])
def test_columns_that_measure_nothing_are_named(
    header: str, column: Callable[[int, int], int], what: str, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    def content(label: int, number: int) -> str:
        pairs = [(str(column(label, row)), str(value)) for row, value in enumerate(noise(label, number))]
        return header + "\n" + "".join(",".join(pair if header[0] != "x" else pair[::-1]) + "\n" for pair in pairs)

    load_folder(write(content))
    name = "column1" if header == ",x" else "id"
    assert f"column '{name}' may be {what}: if so, leave it out with dataset.drop=[{name}]" in caplog.text


def test_decimal_commas_below_one_name() -> None:
    table = read_csv(b"x\n1,5\n-2,25\n3\n", 500, PLAIN)
    assert (table.names, table.values.tolist()) == (("x",), [[1.5], [-2.25], [3.0]])


def test_clocks_go_over_midnight() -> None:
    table = read_csv(b"t,x\n23:59:00,1\n00:01:00,2\n00:02:00,2\n", 500, PLAIN)
    assert table.values[:, 0].tolist() == [0.0, 120.0, 180.0]


def test_no_remedy_of_a_trained_run_is_a_setting_of_training(write: Write, tmp_path: Path) -> None:
    dataset = load_folder(write(lambda label, number: "x,y\n" + lines(rows(label, number))))
    assert dataset.reader is not None
    for content in ("x,z\n1,2\n", "x;y\n1,500;2\n", "x,y\n1,\n"):
        (tmp_path / "own.csv").write_text(content)
        with pytest.raises(DataError, match="the form and the columns of the files that the run was trained on"):
            dataset.reader.read(tmp_path / "own.csv")


def test_wide_tables_are_read_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = ",".join(["0.125"] * 40_000) + "\n"
    assert read_csv(row.encode() * 3, 500, PLAIN).values.shape == (3, 40_000)
    (tmp_path / "x.csv").write_text(row * 3)
    monkeypatch.setattr(tables, "MOST_BYTES", 2 * len(row))
    with pytest.raises(ValueError, match="at most 480,000 are read of such a file"):
        table_content(tmp_path / "x.csv", 500)
