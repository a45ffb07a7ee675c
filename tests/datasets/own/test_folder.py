"""A person's own data: small folders of every kind made here, whole and broken."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from metalstm.datasets.base import Dataset
from metalstm.datasets.own.folder import load_folder
from metalstm.datasets.own.folder_readers import ReadingSettings
from metalstm.datasets.own.tables import TableSettings
from metalstm.datasets.text.tokens import TokenSettings
from metalstm.experiment.identity import LATER_OF
from metalstm.tasks.classes import ClassDataset
from support.datasets import refusal
from support.places import CONFIGS

CONFIG = CONFIGS / "dataset" / "folder.yaml"


def write_wav(path: Path, samples: np.ndarray) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((samples * 20000).astype("<i2").tobytes())


def write_example(kind: str, path: Path, label: int, number: int) -> None:
    rng = np.random.default_rng(100 * label + number)
    if kind == "images":
        Image.fromarray((rng.random((20, 30)) * 255).astype(np.uint8)).save(path.with_suffix(".png"))
    elif kind == "recordings":
        time = np.arange(3200 + 800 * number) / 16000
        write_wav(path.with_suffix(".wav"), np.sin(2 * np.pi * (200 + 150 * label) * time))
    elif kind == "tables":
        rows = rng.normal(10 * label, 1, (4 + number, 3))
        path.with_suffix(".csv").write_text("a,b,c\n" + "\n".join(",".join(map(str, row)) for row in rows))
    else:
        with path.with_name("lines.txt").open("a") as file:
            file.write(f"please word{label}{' now' * number}\n")


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    def made(kind: str, classes: int = 8, examples: int = 3) -> Path:
        root = tmp_path / kind
        for label in range(classes):
            (root / f"class{label}").mkdir(parents=True)
            for number in range(examples):
                write_example(kind, root / f"class{label}" / f"{number}", label, number)
        return root

    return made


def pools(dataset: Dataset) -> list[ClassDataset]:
    assert list(dataset.splits) == ["meta_train", "meta_validation", "meta_test"]
    return [pool for pool in dataset.splits.values() if isinstance(pool, ClassDataset)]


def failing(root: Path) -> str:
    said = refusal(load_folder, root)
    assert not list(root.glob("*.cache"))
    return said


@pytest.mark.parametrize(
    ("kind", "steps", "features", "images"),
    [("images", 28, 28, True), ("recordings", None, 40, False), ("tables", None, 3, False), ("texts", None, 5, False)],
)
def test_every_kind(kind: str, steps: int | None, features: int, images: bool, make: Callable[..., Path]) -> None:
    root = make(kind)
    dataset = load_folder(root)
    assert (dataset.steps, dataset.features, dataset.images) == (steps, features, images)
    assert [pool.classes for pool in pools(dataset)] == [4, 2, 2]
    assert any(line.startswith("examples  24: 3 to 3 a class, median 3") for line in dataset.details)
    assert all((pool.lengths is None) == (steps is not None) for pool in pools(dataset))
    again = load_folder(root)
    assert again.fingerprint == dataset.fingerprint
    assert all(torch.equal(a.examples, b.examples) for a, b in zip(pools(dataset), pools(again), strict=True))
    # A file of the data, read as one of a person's own, is what the data holds of it.
    assert dataset.reader is not None
    pool = pools(dataset)[2]
    file = sorted((root / pool.names[1]).iterdir())[0]
    values = dataset.reader.read(file)[0].values
    assert torch.equal(values, pool.examples[1, 0, : len(values)])


def test_only_meta_train_decides_the_scale(make: Callable[..., Path]) -> None:
    train, _, test = pools(load_folder(make("tables")))
    assert train.lengths is not None
    real = torch.arange(train.examples.shape[2]) < train.lengths.unsqueeze(-1)
    known = train.examples[real]
    assert known.mean(dim=0).abs().max() < 1e-5
    assert (known.std(dim=0, correction=0) - 1).abs().max() < 1e-5
    assert test.examples.mean().abs() > 0.1


def test_the_vocabulary_is_of_meta_train(make: Callable[..., Path]) -> None:
    root = make("texts")
    before = load_folder(root)
    (root / pools(before)[2].names[0] / "lines.txt").write_text("unheard unheard unheard\n" * 3)
    after = load_folder(root)
    assert after.vocabulary == before.vocabulary
    assert after.fingerprint != before.fingerprint


def test_colour_is_found_by_looking(make: Callable[..., Path]) -> None:
    root = make("images")
    Image.new("RGB", (9, 9), "red").save(root / "class3" / "red.jpg")
    dataset = load_folder(root)
    assert (dataset.features, dataset.images) == (84, False)


def test_npy_hidden_files_and_a_constant_column(make: Callable[..., Path]) -> None:
    root = make("tables")
    np.save(root / "class0" / "0.npy", np.ones((5, 3), dtype=np.int16))
    (root / ".hidden").mkdir()
    (root / "class0" / ".DS_Store").write_bytes(b"x")
    assert sum(int(pool.classes) for pool in pools(load_folder(root))) == 8


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("class0/x.csv", b"1,2,3\n1,nan,3\n", ["x.csv, line 2: nan is not finite"]),
        ("class0/x.csv", b"1,2,3\n1,2\n", ["x.csv, line 2: 2 columns, but 3 before"]),
        ("class0/x.csv", b"1,2,3\n1,two,3\n", ["x.csv, line 2: 'two' is not a number"]),
        ("class0/x.csv", b"1,2\n1,2\n", ["x.csv: 2 columns, but", "0.csv has 3"]),
        ("class0/x.csv", b"", ["x.csv: cannot be read: there are no rows"]),
        ("class0/x.csv", b"1,2,3\n\xff,2,3\n", ["x.csv, line 2: it is not UTF-8"]),
        ("class0/x.csv", "1,2,3\n".encode("utf-16-le"), ["x.csv, line 1: it is not UTF-8", "UTF-16 without its mark"]),
        ("class0/x.npy", b"\x93NUMPY cut", ["x.npy: cannot be read"]),
        ("class0/x.png", b"", ["several kinds: 1 images, 24 tables"]),
        ("class9/x.doc", b"", ["class9: no examples", "1 files of no known kind"]),
        ("class0/inner/x.csv", b"1,2,3", ["class0/inner: a folder in a class's folder"]),
    ],
)
def test_broken_tables(file: str, content: bytes, words: list[str], make: Callable[..., Path]) -> None:
    root = make("tables")
    (root / file).parent.mkdir(exist_ok=True)
    (root / file).write_bytes(content)
    said = failing(root)
    assert all(word in said for word in words), said


def test_other_folders_that_are_refused(make: Callable[..., Path], tmp_path: Path) -> None:
    assert "no such folder" in failing(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "empty" in failing(tmp_path / "empty")
    assert "5 classes found, but the splits need 6" in failing(make("tables", classes=5))
    root = make("images")
    (root / "class1" / "0.png").write_bytes((root / "class1" / "1.png").read_bytes()[:-40])
    (root / "class2" / "loop.png").symlink_to(root / "class2" / "loop.png")
    assert "class2/loop.png: cannot be read" in failing(root)
    (root / "class2" / "loop.png").unlink()
    assert "class1/0.png: cannot be read" in failing(root)


def test_settings_of_the_yaml_file_are_the_defaults() -> None:
    given = OmegaConf.load(CONFIG)
    for defaults in (ReadingSettings(), TokenSettings(max_words=None), TableSettings()):
        for name, value in defaults._asdict().items():
            if name != "max_words":
                assert given[name] == value, name


@pytest.mark.parametrize(("kind", "digest"), [("tables", "d2ae01b7b45534e4"), ("texts", "190227f552ec93d3")])
def test_data_of_runs_made_before_is_the_same(kind: str, digest: str, make: Callable[..., Path]) -> None:
    assert load_folder(make(kind)).fingerprint.startswith(digest)


def test_runs_made_before_have_the_settings_of_now() -> None:
    later = LATER_OF["dataset"]["folder"]
    assert later == {name: OmegaConf.load(CONFIG)[name] for name in later}
    assert {*TableSettings._fields, "min_examples", "split_file"} == set(later)
