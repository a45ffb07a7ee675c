"""`metalstm-adapt`: tiny runs trained here learn a task of files that are new to them; and what it refuses."""

from __future__ import annotations

import csv
import json
import shutil
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from metalstm.evaluation.predict import Predicted, accuracy_line, as_csv, as_json
from support.commands import only_run, tiny
from support.places import shared_data

SUFFIX = {"images": ".png", "recordings": ".wav", "tables": ".csv", "texts": ".txt"}


def write_example(kind: str, path: Path, label: int, number: int) -> None:
    rng = np.random.default_rng(100 * label + number)
    file = path.with_suffix(SUFFIX[kind])
    if kind == "images":
        pattern = np.random.default_rng(label).random((12, 12)) * 200
        Image.fromarray((pattern + rng.random((12, 12)) * 50).astype(np.uint8)).save(file)
    elif kind == "recordings":
        samples = np.sin(2 * np.pi * (200 + 150 * label) * np.arange(3200 + 160 * number) / 16000)
        with wave.open(str(file), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(16000)
            out.writeframes((samples * 20000).astype("<i2").tobytes())
    elif kind == "tables":
        file.write_text("\n".join(",".join(map(str, row)) for row in rng.normal(label, 0.1, (4 + number, 2))))
    else:
        file.write_text(f"please word{label} number{number}\n")


def make(kind: str, root: Path, labels: range, examples: Callable[[int], int]) -> Path:
    for label in labels:
        (root / f"class{label}").mkdir(parents=True)
        for number in range(examples(label)):
            write_example(kind, root / f"class{label}" / f"{number}", label, number)
    return root


@pytest.fixture
def trained(
    in_process: Any,
) -> Callable[..., Path]:
    """`trained(kind, *overrides)`: a tiny run on a folder of files, `data`; two ways, one shot."""

    def run(kind: str, *overrides: str, **changes: Any) -> Path:
        make(kind, Path("data"), range(8), lambda _: 4)
        changes = {"ways": 2, "steps": 2, "scratch_tasks": 0, "dataset.classes": None} | changes
        given = ["dataset=folder", "dataset.root=data", *tiny(**changes), *overrides]
        ended = in_process("train", *given)
        assert ended.code == 0, ended.err
        assert "classes   8: 4 meta_train, 2 meta_validation, 2 meta_test" in ended.out
        return Path(only_run(Path("outputs")))

    return run


def rows(file: str = "predictions.csv") -> list[dict[str, str]]:
    with open(file, newline="") as text:
        return list(csv.DictReader(text))


@pytest.mark.parametrize("kind", list(SUFFIX))
def test_every_kind(kind: str, trained: Any, in_process: Any) -> None:
    run = trained(kind)
    make(kind, Path("support"), range(20, 22), lambda label: label - 18)  # 2 examples, and 3
    make(kind, Path("query"), range(20, 22), lambda _: 5)
    write_example(kind, Path("query/alone"), 20, 9)
    ended = in_process("adapt", f"run={run}", "support=support", "query=query", "steps=3")
    assert ended.code == 0, ended.err
    found = rows()
    assert len(found) == 11
    assert found[0].keys() == {"file", "prediction", "class20", "class21"}
    assert found[0]["file"].startswith("alone" + SUFFIX[kind])
    for row in found:
        shares = {label: float(row[label]) for label in ("class20", "class21")}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert row["prediction"] == max(shares, key=lambda label: shares[label])
    assert "support   5 examples of 2 labels, 3 steps" in ended.out
    assert "accuracy  not known: 1 of 11 files lie in no folder named as a label" in ended.out
    assert not list(Path().glob(".*"))


LEARNERS = ["anil", "reptile", "memory", "op_lstm", "lstm_optimizer", "protonet", "proto_maml", "finetune", "scratch"]


@pytest.mark.parametrize("learner", LEARNERS)
def test_every_learner(learner: str, trained: Any, in_process: Any) -> None:
    none = {"learner.inner_steps": None} if learner in ("memory", "protonet") else {}
    run = trained("tables", f"learner={learner}", **none)
    make("tables", Path("support"), range(20, 22), lambda label: label - 18)
    make("tables", Path("query"), range(20, 22), lambda _: 2)
    ended = in_process("adapt", f"run={run}", "support=support", "query=query")
    assert ended.code == 0, ended.err
    assert len(rows()) == 4
    make("tables", Path("more"), range(20, 24), lambda _: 2)
    ended = in_process("adapt", f"run={run}", "support=more", "query=query", "out=more.csv")
    if learner in ("protonet", "proto_maml", "finetune", "scratch"):
        assert ended.code == 0, ended.err
        assert len(rows("more.csv")[0]) == 6
    else:
        assert ended.code == 2
        assert "4 labels, but the run was trained for ways=2" in ended.err
        assert not Path("more.csv").exists()


def test_the_export_predicts_the_same_in_torch(trained: Any, in_process: Any) -> None:
    pytest.importorskip("safetensors")
    from safetensors.torch import load_file

    from metalstm.datasets.files.support_set import as_examples, read_query
    from metalstm.datasets.own.folder import load_folder
    from metalstm.datasets.own.folder_splits import SplitSettings

    run = trained("tables", "model.layer_norm=false", "model.directions=1", "learner.inner_lr=0.5")
    make("tables", Path("support"), range(0, 8, 7), lambda _: 2)
    make("tables", Path("query"), range(0, 8, 7), lambda _: 3)
    given = [f"run={run}", "support=support", "query=query", "export=weights.safetensors", "steps=20"]
    ended = in_process("adapt", *given)
    assert ended.code == 0, ended.err
    weights = load_file("weights.safetensors")

    def part(name: str) -> dict[str, torch.Tensor]:
        return {key[len(name) + 1 :]: value for key, value in weights.items() if key.startswith(name + ".")}

    lstm = torch.nn.LSTM(2, 8, 1, batch_first=True)
    lstm.load_state_dict(part("lstms.0"))
    head = torch.nn.Linear(8, 2)
    head.load_state_dict(part("head"))
    reader = load_folder(Path("data"), SplitSettings(least=2)).reader
    assert reader is not None
    query = as_examples(read_query(Path("query"), reader))
    assert query.lengths is not None
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        query.inputs[0], query.lengths[0], batch_first=True, enforce_sorted=False
    )
    _, (h, _) = lstm(packed)
    want = torch.tensor([[float(row["class0"]), float(row["class7"])] for row in rows()])
    assert (want - 0.5).abs().max() > 0.05  # it has learned something
    assert (head(h[-1]).softmax(dim=-1) - want).abs().max() < 1e-5
    card = Path("weights.md").read_text()
    assert "torch.nn.LSTM(2, 8, 1, batch_first=True)" in card
    assert "0 class0, 1 class7" in card
    ended = in_process("adapt", f"run={run}", "export=start.safetensors")
    assert ended.code == 0, ended.err
    assert not torch.equal(load_file("start.safetensors")["head.bias"], weights["head.bias"])


def test_bad_input(trained: Any, in_process: Any) -> None:
    run = trained("tables")
    make("tables", Path("support"), range(20, 22), lambda _: 1)
    make("tables", Path("query"), range(20, 21), lambda _: 1)
    make("tables", Path("one"), range(1), lambda _: 1)
    make("images", Path("pictures"), range(2), lambda _: 1)
    Path("empty").mkdir()
    shutil.copytree("support", "corrupted")
    Path("corrupted/class20/0.csv").write_text("1,2\n1,inf\n")
    shutil.copytree("support", "wide")
    Path("wide/class20/0.csv").write_text("1,2,3\n")
    before = sorted(Path().rglob("*"))
    both = ["support=support", "query=query"]
    for code, words, given in [
        (3, "nowhere: no such folder", ["support=nowhere", "query=query"]),
        (3, "empty: empty", ["support=empty", "query=query"]),
        (3, "one label, 'class0'", ["support=one", "query=query"]),
        (3, "empty: no tables found", ["support=support", "query=empty"]),
        (3, "class20/0.csv, line 2: inf is not finite", ["support=corrupted", "query=query"]),
        (3, "3 columns, but the run reads 2", ["support=wide", "query=query"]),
        (3, "0.png: one of images, but the run reads tables", ["support=pictures", "query=query"]),
        (3, "0.png: one of images, but the run reads tables", ["support=support", "query=pictures"]),
        (2, "there is no folder gone", [*both, "out=gone/p.csv"]),
        (2, "out=empty: its ending names no format", [*both, "out=empty"]),
        (2, "out=empty is a folder", [*both, "out=empty"]),
        (2, "out=p.xlsx: its ending names no format\n  fix: use one of out=<name>.csv, ", [*both, "out=p.xlsx"]),
        (2, "export=w.bin is no safetensors file", [*both, "export=w.bin"]),
        (2, "no support set to learn from", ["query=query"]),
        (2, "nothing is asked for", ["support=support"]),
        (2, "steps=-1", [*both, "steps=-1"]),
    ]:
        ended = in_process("adapt", f"run={run}", *given)
        assert (ended.code, words in ended.err) == (code, True), (given, ended)
        assert ended.err.count("error: ") == ended.err.count("\n  fix: ")
        assert "Traceback" not in ended.err
        assert sorted(Path().rglob("*")) == before
    assert in_process("adapt", "run=empty", *both).code == 4
    Path("data/class0/0.csv").write_text("1,2\n")
    ended = in_process("adapt", f"run={run}", *both)
    assert (ended.code, "has changed since the run began" in ended.err) == (3, True)


def test_the_ending_names_the_format(trained: Any, in_process: Any) -> None:
    given = [f"run={trained('tables')}", "support=support", "query=query"]
    make("tables", Path("support"), range(20, 22), lambda _: 1)
    make("tables", Path("query"), range(20, 22), lambda _: 2)
    for out in ("x.csv", "x.json", "x.jsonl"):
        assert in_process("adapt", *given, f"out={out}").code == 0
    whole = json.loads(Path("x.json").read_text())
    lines = [json.loads(line) for line in Path("x.jsonl").read_text().splitlines()]
    assert whole["predictions"] == lines
    assert [line["label"] for line in lines] == ["class20", "class20", "class21", "class21"]
    assert [(line["file"], line["prediction"]) for line in lines] == [
        (row["file"], row["prediction"]) for row in rows("x.csv")
    ]


def test_nothing_is_overwritten_unasked(trained: Any, in_process: Any) -> None:
    pytest.importorskip("safetensors")
    given = [f"run={trained('tables')}", "support=support", "query=query"]
    make("tables", Path("support"), range(20, 22), lambda _: 1)
    make("tables", Path("query"), range(20, 22), lambda _: 2)
    mine = {name: Path(name) for name in ("predictions.csv", "mine.json", "w.safetensors", "v.md")}
    for file in mine.values():
        file.write_text("mine")
    for name, more in (
        ("predictions.csv", []),
        ("mine.json", ["out=mine.json"]),
        ("w.safetensors", ["out=p.csv", "export=w.safetensors"]),
        ("v.md", ["out=p.csv", "export=v.safetensors"]),
    ):
        ended = in_process("adapt", *given, *more)
        assert (ended.code, f"{name}: there is such a file" in ended.err) == (2, True), ended
        assert mine[name].read_text() == "mine"
        assert in_process("adapt", *given, *more, "overwrite=true").code == 0
        assert mine[name].read_bytes() != b"mine"


def predicted(names: list[str], right: int) -> Predicted:
    """Predictions for files, the first so many of which are label `a`, the others label `b`."""
    return Predicted(names, ["a", "b"], torch.tensor([[0.9, 0.1]] * right + [[0.2, 0.8]] * (len(names) - right)))


def test_the_accuracy_where_the_folders_are_labels() -> None:
    files = [f"a/{number}.png" for number in range(10)]
    said = "90.00% (9 of 10), 95% interval 59.58% to 98.21%"  # Wilson's, as scipy gives it
    assert accuracy_line(predicted(files, 9)) == [f"accuracy  {said}"]
    assert str(predicted(files, 10).accuracy()) == "100.00% (10 of 10), 95% interval 72.25% to 100.00%"
    assert str(predicted(files, 0).accuracy()) == "0.00% (0 of 10), 95% interval 0.00% to 27.75%"
    accuracy = json.loads(as_json(predicted(files, 9)))["accuracy"]
    assert (accuracy["correct"], accuracy["of"]) == (9, 10)
    assert accuracy["interval"] == pytest.approx([0.59584997, 0.98212379])


def test_no_accuracy_where_it_cannot_be_known() -> None:
    assert accuracy_line(predicted(["1.png", "other/2.png"], 1)) == []
    assert accuracy_line(predicted(["a/1.txt:7", "b/2.txt:1", "3.txt:1"], 1)) == [
        "accuracy  not known: 1 of 3 files lie in no folder named as a label"
    ]


def test_no_formula_in_the_predictions() -> None:
    names = ["=cmd()/1.png", "+1", "-x", "@x", "a\t=1", "x;=cmd()", "plain-1.png", "-"]
    lines = list(csv.reader(as_csv(Predicted(names, ["=1", "b"], torch.full((8, 2), 0.5))).decode().splitlines()))
    assert lines[0] == ["file", "prediction", "'=1", "b"]
    assert [line[0] for line in lines[1:]] == [
        *("'=cmd()/1.png", "'+1", "'-x", "'@x", "a\t'=1", "x;'=cmd()", "plain-1.png", "'-")
    ]
    assert lines[1][1:] == ["'=1", "0.500000", "0.500000"]


def test_a_regression_run_is_refused(
    in_process: Any,
) -> None:
    given = tiny(ways=1, steps=2, scratch_tasks=0, **{"dataset.classes": None})
    assert in_process("train", "dataset=sinusoid", *given).code == 0
    ended = in_process("adapt", f"run={only_run(Path())}", "support=a", "query=b")
    assert ended.code == 2
    assert "which is regression" in ended.err


def test_real_speech(in_process: Any, monkeypatch: Any, cache_home: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))
    root = shared_data("speech_commands")
    given = tiny(steps=2, scratch_tasks=0, **{"dataset.classes": None})
    assert in_process("train", "dataset=speech_commands", f"dataset.root={root}", *given).code == 0
    keywords = sorted(path for path in (root / "dataset").iterdir() if path.is_dir())[:2]
    for keyword in keywords:
        Path("support", keyword.name).mkdir(parents=True)
        for number, file in enumerate(sorted(keyword.glob("*.wav"))[:5]):
            if number < 2:
                shutil.copy(file, Path("support", keyword.name))
            else:
                Path("query").mkdir(exist_ok=True)
                shutil.copy(file, Path("query", f"{keyword.name}{number}.wav"))
    ended = in_process("adapt", f"run={only_run(Path())}", "support=support", "query=query")
    assert ended.code == 0, ended.err
    assert len(rows()) == 6


def test_columns_are_those_that_the_run_was_told_to_read(
    in_process: Any,
) -> None:
    for label in range(6):
        Path(f"data/class{label}").mkdir(parents=True)
        for number in range(3):
            Path(f"data/class{label}/{number}.csv").write_text(f"place,load,m s\nhome,{label},{number}\nhome,1,2.5\n")
    given = tiny(ways=2, steps=2, queries=1, train_queries=1, scratch_tasks=0, **{"dataset.classes": None})
    ended = in_process("train", "dataset=folder", "dataset.root=data", *given)
    assert (ended.code, "0.csv, line 2: 'home' is not a number, in column 'place'" in ended.err) == (3, True)
    ended = in_process("train", "dataset=folder", "dataset.root=data", "dataset.columns=['m s',load]", *given)
    assert ended.code == 0, ended.err
    run = only_run(Path("outputs"))
    assert in_process("train", f"resume={run}", "steps=3").code == 0
    for name in ("support/x", "support/y", "query"):
        Path(name).mkdir(parents=True)
        Path(f"{name}/0.csv").write_text(f"load;m s;place\n1,5;{len(name)};home\n")
    ended = in_process("adapt", f"run={run}", "support=support", "query=query")
    assert ended.code == 0, ended.err
    assert len(rows()) == 1
