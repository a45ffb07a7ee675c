"""CIFAR-FS: from CIFAR-100's three files, whole, broken or hostile, to the published split; small files made here."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from omegaconf import OmegaConf

from metalstm import registry
from metalstm.config.fields import typed
from metalstm.datasets.base import Dataset
from metalstm.datasets.images.cifar100_files import Counts
from metalstm.datasets.images.cifar_fs import CLASSES, load_cifar_fs
from metalstm.errors import DataError, Problem
from metalstm.tasks.sampler import TaskShape
from support.cifar100 import cifar100, python2_pickle
from support.datasets import Server, pools, refusal
from support.places import CONFIGS

SMALL = Counts(3, 2)
Contents = dict[str, dict[str, Any]]


@pytest.fixture(autouse=True)
def user_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))


@pytest.fixture
def contents() -> Contents:
    return cifar100(*SMALL)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A folder with the three files."""

    def written(contents: dict[str, Any], folder: str = "cifar") -> Path:
        root = tmp_path / folder
        root.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (root / name).write_bytes(content if isinstance(content, bytes) else python2_pickle(content))
        return root

    return written


def load(root: Path | None, download: bool = False) -> Dataset:
    return load_cifar_fs(root, download, counts=SMALL)


failing = partial(refusal, load)


# Classes and images


def test_the_published_split_is_disjoint_and_covers_the_hundred_classes() -> None:
    assert [len(names) for names in CLASSES.values()] == [64, 16, 20]
    assert len({name for names in CLASSES.values() for name in names}) == 100
    # The first and last classes of CIFAR-100's own list, and what Bertinetto et al. made of them.
    for split, names in {
        "meta_train": ("apple", "aquarium_fish", "willow_tree", "wolf"),
        "meta_validation": ("beaver", "beetle", "tractor"),
        "meta_test": ("baby", "bed", "woman", "worm"),
    }.items():
        assert set(names) <= set(CLASSES[split])


def test_classes_hold_the_images_of_both_files_row_by_row(contents: Contents, write: Callable[..., Path]) -> None:
    dataset = load(write(contents))
    names = contents["meta"]["fine_label_names"]
    for split, pool in pools(dataset).items():
        assert pool.names == CLASSES[split]
        assert pool.examples.shape == (len(pool.names), 5, 32, 96)
        assert pool.examples.dtype == torch.uint8
        for c, name in enumerate(pool.names):
            images = [
                image.reshape(3, 32, 32)  # red, green, blue
                for part in ("train", "test")
                for image, label in zip(contents[part]["data"], contents[part]["fine_labels"], strict=True)
                if names[label] == name
            ]
            for e, image in enumerate(images):
                row = [image[colour, 7, column] for column in range(32) for colour in range(3)]
                assert pool.examples[c, e, 7].tolist() == row
    assert (dataset.name, dataset.kind, dataset.steps, dataset.features, dataset.outputs, dataset.images) == (
        *("cifar_fs", "classification", 32, 96, None, True),
    )
    assert dataset.description == "64 / 16 / 20 classes of 5 images each, 32x32 pixels in 3 colours"
    batch = pools(dataset)["meta_test"].sample(2, TaskShape(5, 2, 3), torch.Generator().manual_seed(0))
    assert batch.query.inputs.shape == (2, 15, 32, 96)
    assert 0 <= float(batch.query.inputs.min()) < 0.01 < 0.99 < float(batch.query.inputs.max()) <= 1


def test_labels_go_by_the_files_own_names(contents: Contents, write: Callable[..., Path]) -> None:
    expected = load(write(contents))
    contents["meta"]["fine_label_names"].reverse()
    for part in ("train", "test"):
        contents[part]["fine_labels"] = [99 - label for label in contents[part]["fine_labels"]]
    assert load(write(contents, "turned")).fingerprint == expected.fingerprint


def test_the_fingerprint_is_of_the_images_wherever_they_lie(contents: Contents, write: Callable[..., Path]) -> None:
    root = write(contents)
    expected = load(root).fingerprint
    assert load(write(contents, "other/cifar-100-python").parent).fingerprint == expected
    assert load(write(contents, "xdg/metalstm/cifar_fs/cifar-100-python")).fingerprint == expected
    assert load(None).fingerprint == expected
    contents["train"]["data"][17, 5] ^= 1
    assert load(write(contents, "changed")).fingerprint != expected


def test_a_pickle_of_python_3_is_read_too(contents: Contents, write: Callable[..., Path]) -> None:
    expected = load(write(contents)).fingerprint
    train = {name.encode(): value for name, value in contents["train"].items()}
    again = load(write({**contents, "train": pickle.dumps(train, protocol=4)}, "again"))
    assert again.fingerprint == expected


# What is wrong with the data


def test_missing_folder(tmp_path: Path) -> None:
    message = failing(tmp_path / "nowhere")
    assert f"{tmp_path / 'nowhere'}: no such folder" in message
    assert "unpack cifar-100-python.tar.gz of https://" in message
    assert "dataset.download=true" in message
    assert f"{tmp_path / 'xdg' / 'metalstm' / 'cifar_fs'}: no such folder" in failing(None)
    assert sorted(os.listdir(tmp_path)) == []
    assert "dataset.root" in failing(Path("~nobody-is-called-so/x"))


def test_empty_folder_a_file_in_its_place_and_an_archive_not_unpacked(tmp_path: Path) -> None:
    assert f"{tmp_path}: train, test, meta missing: 0 of 3 files found" in failing(tmp_path)
    (tmp_path / "file").touch()
    assert "file: cannot be read: Not a directory" in failing(tmp_path / "file")
    (tmp_path / "cifar-100-python.tar.gz").touch()
    message = failing(tmp_path)
    assert f"{tmp_path}: cifar-100-python.tar.gz has not been unpacked" in message
    assert "run tar -xzf cifar-100-python.tar.gz" in message


def test_a_file_missing(contents: Contents, write: Callable[..., Path]) -> None:
    root = write(contents, "cifar/cifar-100-python")
    (root / "test").unlink()
    assert f"{root}: test missing: 2 of 3 files found" in failing(root.parent, download=True)


@pytest.mark.parametrize("name", ["train", "test", "meta"])
@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (b"", "truncated or not of CIFAR-100"),
        (b"\x80\x02}", "truncated or not of CIFAR-100"),
        (b"\xff" * 50, "truncated or not of CIFAR-100"),
        (b"\x80\x02Nb.", "truncated or not of CIFAR-100"),
        (b"\x80\x02T\xff\xff\xff\xff.", "truncated or not of CIFAR-100"),
        (pickle.dumps([1, 2]), "no mapping, but a list"),
    ],
)
def test_broken_file(name: str, broken: bytes, named: str, contents: Contents, write: Callable[..., Path]) -> None:
    root = write({**contents, name: broken})
    message = failing(root)
    assert f"{root / name}: {named}" in message
    assert message.count("error:") == 1


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_truncated_file(share: float, contents: Contents, write: Callable[..., Path]) -> None:
    whole = python2_pickle(contents["train"])
    root = write({**contents, "train": whole[: int(share * len(whole))]})
    assert f"{root / 'train'}: truncated" in failing(root)


def test_a_folder_in_a_files_place(contents: Contents, write: Callable[..., Path]) -> None:
    root = write({name: content for name, content in contents.items() if name != "meta"})
    (root / "meta").mkdir()
    assert "meta: cannot be read: Is a directory" in failing(root)


class Runs:
    """What would create a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["train", "test", "meta"])
def test_nothing_in_a_file_is_run(name: str, contents: Contents, write: Callable[..., Path], tmp_path: Path) -> None:
    hostile = pickle.dumps({b"data": Runs(tmp_path / "run")}, protocol=4)
    message = failing(write({**contents, name: hostile}))
    assert "mkdir, which no file of CIFAR-100 does" in message
    assert not (tmp_path / "run").exists()
    pickle.loads(hostile)
    assert (tmp_path / "run").exists()  # it would have been


def test_arrays_of_objects_are_not_made(contents: Contents, write: Callable[..., Path], tmp_path: Path) -> None:
    objects = np.array([["a", None]], dtype=object)
    root = write({**contents, "train": pickle.dumps({b"data": objects, b"fine_labels": [0]}, protocol=4)})
    assert "'data' is no array of bytes, 3072 an image" in failing(root)


@pytest.mark.parametrize(
    ("part", "key", "change", "named"),
    [
        ("train", "data", lambda data: data.astype(np.int32), "'data' is no array of bytes, 3072 an image"),
        ("train", "data", lambda data: data[:, :-1], "'data' is no array of bytes, 3072 an image"),
        ("train", "data", lambda data: data.reshape(-1, 3, 1024), "'data' is no array of bytes"),
        ("train", "data", np.asfortranarray, "'data' is no array of bytes"),
        ("train", "data", lambda data: data.tolist()[:1], "'data' is no array of bytes"),
        ("test", "data", lambda data: data[:-1], "'fine_labels' is no list of 199 numbers from 0 to 99"),
        ("test", "fine_labels", lambda labels: [100, *labels[1:]], "'fine_labels' is no list of 200 numbers"),
        ("test", "fine_labels", lambda labels: [-1, *labels[1:]], "'fine_labels' is no list of 200 numbers"),
        ("test", "fine_labels", lambda labels: ["a", *labels[1:]], "'fine_labels' is no list of 200 numbers"),
        ("test", "fine_labels", lambda labels: labels[:-1], "'fine_labels' is no list of 200 numbers"),
        ("test", "fine_labels", lambda labels: "labels", "'fine_labels' is no list of 200 numbers"),
        ("meta", "fine_label_names", lambda names: ["cat", *names[1:]], "fine_label_names are not the 100 classes"),
        ("meta", "fine_label_names", lambda names: names[1:], "fine_label_names are not the 100 classes"),
        ("meta", "fine_label_names", lambda names: [names[0], *names[:-1]], "fine_label_names are not the 100"),
        ("meta", "fine_label_names", lambda names: [0, *names[1:]], "fine_label_names are not the 100 classes"),
    ],
)
def test_contents_of_another_form(
    part: str, key: str, change: Callable[[Any], Any], named: str, contents: Contents, write: Callable[..., Path]
) -> None:
    contents[part][key] = change(contents[part][key])
    root = write(contents)
    message = failing(root)
    assert f"{root / part}: {named}" in message
    assert message.count("error:") == 1


@pytest.mark.parametrize("key", ["data", "fine_labels", "fine_label_names"])
def test_a_key_missing(key: str, contents: Contents, write: Callable[..., Path]) -> None:
    for content in contents.values():
        content.pop(key, None)
    message = failing(write(contents))
    assert key in message
    assert message.count("error:") == (1 if key == "fine_label_names" else 2)  # of one file or of two


def test_classes_of_other_sizes(contents: Contents, write: Callable[..., Path]) -> None:
    labels = contents["train"]["fine_labels"]
    labels[labels.index(0)] = 99
    message = failing(write(contents))
    assert "train: 2 classes have not 3 images: apple has 2, worm has 4" in message
    with pytest.raises(
        DataError, match=r"100 classes have not 500 images: apple has 2, aquarium_fish has 3, .*, \.\.\."
    ):
        load_cifar_fs(write(contents), download=False)


# The download, by torchvision itself, from a server of this test


@pytest.fixture
def server(contents: Contents, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    root = write(contents)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(root, "cifar-100-python")
    server = Server(lambda name: buffer.getvalue())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    md5 = {name: hashlib.md5((root / name).read_bytes()).hexdigest() for name in contents}
    published = torchvision.datasets.CIFAR100
    monkeypatch.setattr(published, "url", f"{server.url}/cifar-100-python.tar.gz")
    monkeypatch.setattr(published, "tgz_md5", hashlib.md5(buffer.getvalue()).hexdigest())
    monkeypatch.setattr(published, "train_list", [["train", md5["train"]]])
    monkeypatch.setattr(published, "test_list", [["test", md5["test"]]])
    monkeypatch.setattr(published, "meta", {**published.meta, "md5": md5["meta"]})
    yield server
    server.stop()


@pytest.mark.parametrize("root", ["new/folder", None])
def test_download(root: str | None, server: Server, tmp_path: Path) -> None:
    place = None if root is None else tmp_path / root
    dataset = load(place, download=True)
    assert dataset.fingerprint == load(tmp_path / "cifar").fingerprint
    folder = place or tmp_path / "xdg" / "metalstm" / "cifar_fs"
    assert os.listdir(folder) == ["cifar-100-python"]
    server.share = 0
    assert load(place, download=True).fingerprint == dataset.fingerprint  # what is there is not fetched again
    assert len(torchvision.datasets.CIFAR100(folder, train=False)) == 200  # torchvision finds it, too


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_download_cut_off(share: float, server: Server, tmp_path: Path) -> None:
    server.share = share
    message = failing(tmp_path / "new", download=True)
    assert "CIFAR-100 could not be downloaded" in message
    assert f"fetch {server.url}/cifar-100-python.tar.gz by hand, and unpack it in {tmp_path / 'new'}" in message
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    failing(tmp_path / "old", download=True)
    assert os.listdir(tmp_path / "old") == []


def test_another_archive_than_the_published_one_is_refused_unread(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "tgz_md5", "0" * 32)
    assert "could not be downloaded" in failing(tmp_path / "new", download=True)
    assert not (tmp_path / "new").exists()


def test_download_from_an_unreachable_host(server: Server, tmp_path: Path) -> None:
    server.stop()
    assert "Connection refused" in failing(None, download=True)
    assert not (tmp_path / "xdg").exists()


def test_nothing_is_downloaded_unasked(server: Server, tmp_path: Path) -> None:
    assert "no such folder" in failing(None)
    assert not (tmp_path / "xdg").exists()


# Settings


def test_settings_of_the_yaml_file() -> None:
    path = CONFIGS / "dataset" / "cifar_fs.yaml"
    if not path.exists():
        pytest.skip("the YAML files are in the repository")
    problems: list[Problem] = []
    given = typed(registry.settings_class("dataset", "cifar_fs"), dict(OmegaConf.load(path)), "dataset.", problems)
    assert problems == []
    assert (given.name, given.root, given.download) == ("cifar_fs", None, True)
