"""Omniglot: from zips and folders, whole or broken, to splits; small archives made here, and the real ones."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from PIL import Image, ImageDraw

from metalstm.datasets.base import Dataset
from metalstm.datasets.images import omniglot
from metalstm.datasets.images.omniglot import Changes, image_from_png, load_omniglot
from metalstm.datasets.images.omniglot_files import Counts
from metalstm.tasks.sampler import TaskShape, seeded_generator
from support.datasets import Server, pools, refusal, same
from support.places import shared_data

SMALL = Counts(images_background=6, images_evaluation=4, per_character=3, meta_train=5, meta_validation=2)
PARTS = {"images_background": ("Tifinagh", 6), "images_evaluation": ("Tibetan", 4)}


@pytest.fixture(autouse=True)
def user_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg-cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg-data"))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Both parts unpacked: two alphabets of three characters, two of two, three images of each."""
    root = tmp_path / "folders"
    for part, (alphabet, count) in PARTS.items():
        for number in range(count):
            character = root / part / f"{alphabet}_{number % 2}" / f"character{number // 2 + 1:02}"
            character.mkdir(parents=True)
            for drawer in (1, 2, 3):
                path = character / f"{number:04}_{drawer:02}.png"
                path.write_bytes(drawing(str(path.relative_to(root))))
    return root


@pytest.fixture
def zips(folders: Path, tmp_path: Path) -> Path:
    root = tmp_path / "zips"
    root.mkdir()
    for part in PARTS:
        shutil.make_archive(str(root / part), "zip", folders, part)
    return root


def drawing(name: str, size: int = 105) -> bytes:
    """A PNG as Omniglot's: one bit, ink 0; two strokes whose ends depend on the name."""
    image = Image.new("1", (size, size), 1)
    ends = [2 * (byte % 50) for byte in hashlib.sha256(name.encode()).digest()]
    ImageDraw.Draw(image).line(ends[:4], fill=0, width=3)
    ImageDraw.Draw(image).line(ends[4:8], fill=0, width=3)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def load(root: Path | None, download: bool = False, **settings: Any) -> Dataset:
    return load_omniglot(root, download, counts=SMALL, **settings)


failing = partial(refusal, load)


# Sources


def test_zips_and_folders_give_the_same(zips: Path, folders: Path) -> None:
    dataset = load(zips)
    assert same(dataset, load(folders))
    assert (dataset.steps, dataset.features, dataset.images, dataset.outputs) == (28, 28, True, None)
    images = torch.cat([pool.examples for pool in pools(dataset).values()])
    assert images.shape == (20 + 2 + 3, 3, 28, 28)
    assert len(images.flatten(0, 1).flatten(1).unique(dim=0)) > 60  # the drawings do differ


def test_a_zip_is_never_unpacked(zips: Path) -> None:
    load(zips)
    assert sorted(path.suffix for path in zips.rglob("*")) == [".cache", ".zip", ".zip"]


def test_one_part_may_be_a_zip_and_the_other_a_folder(zips: Path, folders: Path) -> None:
    whole = load(zips)
    (zips / "images_background.zip").unlink()
    shutil.copytree(folders / "images_background", zips / "images_background")
    assert same(whole, load(zips))


@pytest.mark.parametrize("form", ["zips", "folders"])
def test_torchvisions_subfolder(form: str, zips: Path, folders: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree({"zips": zips, "folders": folders}[form], root / "omniglot-py")
    assert same(load(root), load(folders))
    assert same(load(root / "omniglot-py"), load(folders))


def test_a_broken_zip_beside_a_whole_folder_does_no_harm(folders: Path, zips: Path) -> None:
    (folders / "images_background.zip").write_bytes(b"")
    assert same(load(folders), load(zips))


def test_files_of_the_operating_system_do_not_count(folders: Path, zips: Path) -> None:
    expected = load(zips)
    character = folders / "images_background" / "Tifinagh_0" / "character01"
    for path in (folders / "images_background" / ".DS_Store", character / ".DS_Store", character / "._0000_01.png"):
        path.write_bytes(b"x")
    assert same(load(folders), expected)
    with zipfile.ZipFile(zips / "images_background.zip", "a") as archive:
        archive.writestr("__MACOSX/images_background/._Tifinagh_0", b"x")
        archive.writestr("__MACOSX/images_background/Tifinagh_0/character01/._0000_01.png", b"x")
    assert same(load(zips), expected)


# What is wrong with the data


def test_missing_folder(tmp_path: Path) -> None:
    message = failing(tmp_path / "nowhere")
    assert "no such folder: 0 of 6 characters" in message
    assert "no such folder: 0 of 4 characters" in message
    assert "images_background.zip and images_evaluation.zip" in message
    assert not (tmp_path / "nowhere").exists()


def test_empty_folder(tmp_path: Path) -> None:
    message = failing(tmp_path)
    assert "neither images_background.zip nor images_background/ is there: 0 of 6" in message
    assert "neither images_evaluation.zip nor images_evaluation/ is there: 0 of 4" in message


def test_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "Not a directory" in failing(tmp_path / "file")


def test_only_one_part_is_named_and_not_downloaded(zips: Path) -> None:
    (zips / "images_evaluation.zip").unlink()
    message = failing(zips, download=True)
    assert "images_evaluation" in message
    assert "0 of 4 characters" in message
    assert "0 of 6" not in message
    assert sorted(os.listdir(zips)) == ["images_background.zip"]


def test_half_unpacked_folder_says_counts_found_and_wanted(folders: Path) -> None:
    shutil.rmtree(folders / "images_background" / "Tifinagh_1" / "character03")
    (folders / "images_background" / "Tifinagh_1" / "character02" / "0003_02.png").unlink()
    shutil.rmtree(folders / "images_evaluation" / "Tibetan_0")
    message = failing(folders)
    assert "images_background: 4 of 6 characters are complete, 14 of 18 images found" in message
    assert "Tifinagh_1/character02 has 2 of 3" in message
    assert "images_evaluation: 2 of 4 characters are complete, 6 of 12 images found" in message


def test_a_character_without_images_is_named(folders: Path) -> None:
    for path in (folders / "images_evaluation" / "Tibetan_1" / "character01").iterdir():
        path.unlink()
    assert "Tibetan_1/character01 has 0 of 3" in failing(folders)


def test_too_many_images(folders: Path) -> None:
    (folders / "images_evaluation" / "Tibetan_1" / "character01" / "more.png").write_bytes(drawing("more"))
    assert "Tibetan_1/character01 has 4 of 3" in failing(folders)


def test_a_character_too_many(folders: Path) -> None:
    extra = folders / "images_evaluation" / "Tibetan_1" / "character09"
    extra.mkdir()
    (extra / "0009_01.png").write_bytes(drawing("extra"))
    message = failing(folders)
    assert "13 of 12 images found" in message
    assert "Tibetan_1/character09 has 1 of 3" in message


def test_one_zip_under_both_names(zips: Path) -> None:
    shutil.copy(zips / "images_background.zip", zips / "images_evaluation.zip")
    assert "images_evaluation.zip: 0 of 4 characters" in failing(zips)


@pytest.mark.parametrize("length", [0, 100, -30])
def test_truncated_zip(length: int, zips: Path) -> None:
    path = zips / "images_background.zip"
    path.write_bytes(path.read_bytes()[:length])
    message = failing(zips)
    assert f"{path}: truncated or not a zip" in message
    assert "images_evaluation" not in message.split("fix:")[0]


@pytest.mark.parametrize("name", ["../evil", "images_background/../../evil.png", "/evil", "C:/evil", "..\\evil"])
def test_zip_with_an_entry_outside_its_folder(name: str, zips: Path) -> None:
    with zipfile.ZipFile(zips / "images_background.zip", "a") as archive:
        archive.writestr(name, b"evil")
    message = failing(zips)
    assert "images_background.zip: 1 entries lie outside its folder" in message
    assert repr(name) in message
    assert not list(zips.parent.rglob("*evil*"))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "no image", "empty", "other size", "other format"])
def test_corrupt_images_are_named_all_at_once(damage: str, folders: Path) -> None:
    first = folders / "images_background" / "Tifinagh_0" / "character02" / "0002_02.png"
    second = folders / "images_evaluation" / "Tibetan_1" / "character01" / "0001_03.png"
    whole = first.read_bytes()
    middle = whole.index(b"IDAT") + 10
    gif = io.BytesIO()
    Image.new("1", (105, 105), 1).save(gif, "GIF")
    broken = {
        "truncated": whole[: len(whole) // 2],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "no image": b"not an image",
        "empty": b"",
        "other size": drawing("small", size=104),
        "other format": gif.getvalue(),
    }[damage]
    first.write_bytes(broken)
    second.write_bytes(broken)
    message = failing(folders)
    assert "Tifinagh_0/character02/0002_02.png is broken" in message
    assert "Tibetan_1/character01/0001_03.png is broken" in message
    assert message.count("error:") == 2
    assert not list(folders.glob("*.cache"))


def test_no_flipped_bit_changes_an_image_unnoticed() -> None:
    whole = drawing("any")
    image = image_from_png(whole)
    for position in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        try:
            found = image_from_png(bytes(flipped))
        except omniglot.UNREADABLE:
            continue
        assert (found == image).all(), f"bit {position}"


def test_many_corrupt_images_are_summed_up(folders: Path) -> None:
    for path in (folders / "images_background").rglob("*.png"):
        path.write_bytes(b"")
    message = failing(folders)
    assert message.count("is broken") == 5
    assert "13 more images are broken" in message


def test_corrupt_member_of_a_zip_is_named(zips: Path) -> None:
    path = zips / "images_evaluation.zip"
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        member = next(m for m in archive.infolist() if m.filename.endswith("Tibetan_1/character02/0003_01.png"))
    at = member.header_offset + 30 + len(member.filename) + member.compress_size // 2
    path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
    assert "Tibetan_1/character02/0003_01.png is broken" in failing(zips)


def test_unreadable_folder(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir
    closed = folders / "images_background" / "Tifinagh_1"

    def scandir(path: str | Path) -> object:  # tests may run as root, whom no permission bit stops
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert f"{closed}: cannot be read: Permission denied" in failing(folders)


# Images and splits


def test_image_is_ink_on_an_empty_ground() -> None:
    page = Image.new("1", (105, 105), 1)
    ImageDraw.Draw(page).rectangle((15, 30, 104, 104), fill=0)  # in 28ths: columns 4 to 28, rows 8 to 28
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    image = torch.from_numpy(image_from_png(buffer.getvalue()).copy())
    expected = torch.zeros(28, 28, dtype=torch.uint8)
    expected[8:, 4:] = 255
    assert torch.equal(image, expected)


def test_thin_strokes_stay_visible() -> None:
    page = Image.new("1", (105, 105), 1)
    ImageDraw.Draw(page).line((0, 0, 104, 60), fill=0, width=3)
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    assert image_from_png(buffer.getvalue()).max(axis=0).min() > 120  # in each of the columns that the stroke crosses


def test_characters_are_in_order_of_their_names_and_examples_of_their_files(zips: Path) -> None:
    names, images = [], []
    for part, (alphabet, count) in PARTS.items():
        for character in sorted((n % 2, n // 2 + 1, n) for n in range(count)):
            name = f"{alphabet}_{character[0]}/character{character[1]:02}"
            names.append(name)
            images.append([drawing(f"{part}/{name}/{character[2]:04}_{drawer:02}.png") for drawer in (1, 2, 3)])
    found = omniglot.read_characters(zips, SMALL)
    assert found.names == names
    for i, examples in enumerate(images):
        for j, data in enumerate(examples):
            assert torch.equal(found.images[i, j], torch.from_numpy(image_from_png(data).copy()))


def test_rotated_classes_are_turned_images_in_the_split_of_their_character(zips: Path) -> None:
    train = pools(load(zips))["meta_train"]
    plain = train.names[:5]
    assert train.names == plain + [f"{name}@{angle}" for angle in (90, 180, 270) for name in plain]
    for quarter in (1, 2, 3):
        turned = train.examples[5 * quarter : 5 * quarter + 5]
        assert torch.equal(turned, torch.rot90(train.examples[:5], quarter, dims=(2, 3)))
        assert not torch.equal(turned, train.examples[:5])


def test_mirrored_classes_are_the_same_left_for_right_and_of_meta_train_alone(zips: Path) -> None:
    before, after = load(zips), load(zips, changes=Changes(mirrored=True))
    for split, pool in pools(before).items():
        more = pools(after)[split]
        assert more.names == pool.names + [f"{name}, mirrored" for name in pool.names] * (split == "meta_train")
        assert torch.equal(more.examples[: pool.classes], pool.examples)
        if split == "meta_train":
            mirrored = more.examples[pool.classes :]
            assert torch.equal(mirrored[..., 0], pool.examples[..., -1])
            assert torch.equal(mirrored.flip(-1), pool.examples)
            assert not torch.equal(mirrored, pool.examples)
    assert after.fingerprint == before.fingerprint  # the tasks to be judged on are the same


@pytest.mark.parametrize(
    ("rotations", "sizes"), [("meta_train", [20, 2, 3]), ("all", [20, 8, 12]), ("none", [5, 2, 3])]
)
def test_which_splits_are_rotated(rotations: str, sizes: list[int], zips: Path) -> None:
    found = pools(load(zips, rotations=rotations))
    assert [pool.classes for pool in found.values()] == sizes
    characters = [{name.partition("@")[0] for name in pool.names} for pool in found.values()]
    assert [len(names) for names in characters] == [5, 2, 3]
    assert len(set().union(*characters)) == 10


def test_random_split_mixes_both_sets_by_a_permutation_of_its_seed(zips: Path) -> None:
    names = [
        {split: pool.names for split, pool in pools(load(zips, split_seed=seed, rotations="none")).items()}
        for seed in range(5)
    ]
    again = pools(load(zips, split_seed=0, rotations="none"))
    assert names[0] == {split: pool.names for split, pool in again.items()}
    assert len({tuple(of_seed["meta_train"]) for of_seed in names}) > 1
    assert any({name[:4] for name in of_seed["meta_test"]} == {"Tifi", "Tibe"} for of_seed in names)
    order = torch.randperm(10, generator=seeded_generator(3, "omniglot", "split"))
    everyone = omniglot.read_characters(zips, SMALL).names
    assert names[3]["meta_test"] == [everyone[i] for i in order[7:].sort().values]


def test_lake_split_keeps_the_authors_sets_apart(zips: Path) -> None:
    by_seed = [pools(load(zips, split="lake", split_seed=seed, rotations="none")) for seed in range(5)]
    for found in by_seed:
        assert [pool.classes for pool in found.values()] == [4, 2, 4]
        assert all(name.startswith("Tibetan") for name in found["meta_test"].names)
        assert all(name.startswith("Tifinagh") for name in found["meta_train"].names + found["meta_validation"].names)
    assert len({tuple(found["meta_validation"].names) for found in by_seed}) > 1


def test_names_carry_their_own_images_into_the_splits(zips: Path) -> None:
    found = omniglot.read_characters(zips, SMALL)
    for split in ("random", "lake"):
        for pool in pools(load(zips, split=split, rotations="none")).values():
            for name, images in zip(pool.names, pool.examples, strict=True):
                assert torch.equal(images, found.images[found.names.index(name)])


def test_unknown_split_is_refused(zips: Path) -> None:
    with pytest.raises(ValueError, match="split='vinyals'"):
        load(zips, split="vinyals")


def test_only_meta_train_is_bent_and_by_as_much_as_asked_for(zips: Path) -> None:
    shape = TaskShape(2, 1, 1)

    def drawn(split: str, augment: float) -> torch.Tensor:
        return pools(load(zips, changes=Changes(augment)))[split].sample(8, shape, seeded_generator(0)).query.inputs

    for split in ("meta_train", "meta_validation", "meta_test"):
        assert torch.equal(drawn(split, 0), drawn(split, 1)) == (split != "meta_train")
    little, much = ((drawn("meta_train", strength) - drawn("meta_train", 0)).abs().mean() for strength in (0.1, 1))
    assert 0 < little < much / 2
    assert (
        load(zips, changes=Changes(augment=1)).fingerprint == load(zips).fingerprint
    )  # the tasks to be judged on are the same


def test_fingerprint_depends_on_pixels_and_on_every_setting(folders: Path) -> None:
    settings: list[dict[str, Any]] = [
        {},
        {"split": "lake"},
        {"split_seed": 1},
        {"rotations": "none"},
        {"rotations": "all"},
    ]
    prints = [load(folders, **setting).fingerprint for setting in settings]
    path = folders / "images_background" / "Tifinagh_0" / "character01" / "0000_01.png"
    path.write_bytes(drawing("another"))
    prints.append(load(folders).fingerprint)
    assert len(set(prints)) == len(prints)


# The cache


def count_decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []

    def counted(data: bytes, real: Callable[[bytes], object] = image_from_png) -> object:
        sizes.append(len(data))
        return real(data)

    monkeypatch.setattr(omniglot, "image_from_png", counted)
    return sizes


@pytest.mark.parametrize("form", ["zips", "folders"])
def test_second_start_decodes_nothing(form: str, zips: Path, folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = {"zips": zips, "folders": folders}[form]
    decoded = count_decoded(monkeypatch)
    first = load(root)
    assert len(decoded) == 30
    assert same(first, load(root))
    load(root, split="lake", rotations="all")
    assert len(decoded) == 30


def test_damaged_cache_is_decoded_again(
    zips: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = load(zips)
    (file,) = zips.glob("*.cache")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    decoded = count_decoded(monkeypatch)
    assert same(first, load(zips))
    assert len(decoded) == 30
    assert "decoding again" in caplog.text


def test_changed_images_are_decoded_again(folders: Path) -> None:
    first = load(folders, rotations="none")
    path = folders / "images_evaluation" / "Tibetan_0" / "character01" / "0000_02.png"
    path.write_bytes(drawing("changed"))
    second = load(folders, rotations="none")
    assert not same(first, second)
    assert same(second, load(folders, rotations="none"))


def test_write_protected_data_is_cached_in_the_users_folder(
    zips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zips.chmod(0o555)
    before = sorted(os.listdir(zips))
    first = load(zips)
    decoded = count_decoded(monkeypatch)
    assert same(first, load(zips))
    assert decoded == []
    assert sorted(os.listdir(zips)) == before
    assert len(list((tmp_path / "xdg-cache" / "metalstm").glob("omniglot-28x28-*.cache"))) == 1


# The download, by torchvision itself, from a server of this test


@pytest.fixture
def server(zips: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server(lambda name: (zips / name).read_bytes())
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    md5 = {part: hashlib.md5((zips / f"{part}.zip").read_bytes()).hexdigest() for part in PARTS}
    monkeypatch.setattr(torchvision.datasets.Omniglot, "download_url_prefix", server.url)
    monkeypatch.setattr(torchvision.datasets.Omniglot, "zips_md5", md5)
    yield server
    server.stop()


@pytest.mark.parametrize("root", ["new/folder", None])
def test_download(root: str | None, server: Server, folders: Path, tmp_path: Path) -> None:
    place = None if root is None else tmp_path / root
    dataset = load(place, download=True)
    assert same(dataset, load(folders))
    folder = place or tmp_path / "xdg-data" / "metalstm" / "omniglot"
    assert sorted(path.suffix or path.name for path in folder.iterdir()) == [".cache", "omniglot-py"]
    server.share = 0
    assert same(dataset, load(place, download=True))  # what is there is not fetched again
    assert len(torchvision.datasets.Omniglot(folder, background=True)) == 18  # torchvision finds it, too


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_download_cut_off(share: float, server: Server, tmp_path: Path) -> None:
    server.share = share
    message = failing(tmp_path / "new", download=True)
    assert "could not be downloaded" in message
    assert f"{server.url}/images_background.zip and {server.url}/images_evaluation.zip by hand" in message
    assert str(tmp_path / "new") in message
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    failing(tmp_path / "old", download=True)
    assert os.listdir(tmp_path / "old") == []


def test_download_cut_off_at_the_second_zip(server: Server, zips: Path, tmp_path: Path) -> None:
    path = zips / "images_evaluation.zip"
    path.write_bytes(path.read_bytes()[:-100])
    failing(tmp_path / "new", download=True)
    assert not (tmp_path / "new").exists()


def test_download_from_an_unreachable_host(server: Server, tmp_path: Path) -> None:
    server.stop()
    message = failing(None, download=True)
    assert "Connection refused" in message
    assert "by hand, and put both into" in message
    assert [path for path in (tmp_path / "xdg-data").rglob("*") if path.name.startswith((".omni", "omni"))] == []


def test_nothing_is_downloaded_unasked(server: Server, tmp_path: Path) -> None:
    message = failing(None)
    assert "no such folder" in message
    assert "dataset.download=true" in message
    assert not (tmp_path / "xdg-data").exists()


# The real data


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real zips, linked into a folder of the test's own, where the cache may be written."""
    root = tmp_path_factory.mktemp("omniglot")
    for part in PARTS:
        (root / f"{part}.zip").symlink_to(shared_data("omniglot") / f"{part}.zip")
    return root


def test_real_omniglot(real: Path) -> None:
    found = pools(load_omniglot(real, download=False))
    assert [tuple(pool.examples.shape) for pool in found.values()] == [
        (4400, 20, 28, 28),
        (100, 20, 28, 28),
        (423, 20, 28, 28),
    ]
    names = {name.partition("@")[0] for pool in found.values() for name in pool.names}
    assert len(names) == 1623
    assert len({name.partition("/")[0] for name in names}) == 50
    assert {"Tifinagh/character50", "Tibetan/character29"} <= names
    images = found["meta_test"].examples
    assert images.flatten(2).amax(-1).float().quantile(0.01) > 200  # every drawing has full ink somewhere
    assert 0.03 < (images > 127).float().mean() < 0.2  # and is mostly empty
    lake = pools(load_omniglot(real, download=False, split="lake", rotations="none"))
    assert [pool.classes for pool in lake.values()] == [864, 100, 659]
    alphabets = [{name.partition("/")[0] for name in pool.names} for pool in lake.values()]
    assert len(alphabets[0] | alphabets[1]) == 30
    assert len(alphabets[2]) == 20


def test_real_omniglot_starts_in_a_second_once_decoded(real: Path) -> None:
    load_omniglot(real, download=False)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        load_omniglot(real, download=False)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0
