"""Omniglot, Lake et al. 2015: 1,623 handwritten characters of 50 alphabets, 20 drawings of each."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from metalstm.config.fields import bounded, one_of
from metalstm.datasets.base import Dataset, FolderOfData
from metalstm.datasets.files.cache import Content, cached
from metalstm.datasets.images.drawing_augment import BEND, bent
from metalstm.datasets.images.drawings import DRAWINGS, FULL_INK, SIDE
from metalstm.datasets.images.omniglot_download import download_omniglot
from metalstm.datasets.images.omniglot_files import Counts, Part, find_parts, present
from metalstm.datasets.splits import partition
from metalstm.errors import DataError, Problem, first_few
from metalstm.files.paths import dataset_root
from metalstm.registry import register
from metalstm.runtime.progress import counted
from metalstm.tasks.classes import SPLITS, ClassDataset

FILE_SIZE = (105, 105)  # pixels, of an image on disk
DECODE_VERSION = 1  # part of the cache's key: to be raised when an image comes to be decoded in another way
# zipfile and Pillow raise these on broken bytes.
UNREADABLE = (
    *(EOFError, OSError, RuntimeError, SyntaxError, ValueError, struct.error, zlib.error, lzma.LZMAError),
    *(zipfile.BadZipFile, Image.DecompressionBombError),
)

OMNIGLOT = Counts()
Split = Literal["random", "lake"]
Rotations = Literal["meta_train", "all", "none"]


class Characters(NamedTuple):
    """All characters: the background set, then the evaluation set, each by name. Legend: C characters, E examples."""

    images: Tensor  # [C, E, 28, 28] uint8, ink 255
    names: list[str]  # C times alphabet/character
    background: int  # how many are of the background set
    fingerprint: str  # SHA-256 of images and names, the same from zips and from folders


class Changes(NamedTuple):
    """How meta-train's drawings are changed.

    Args:
        augment: how far they are bent when they are drawn, see `bent`; 0: not at all.
        mirrored: whether its classes are there in a mirror too, as further ones: `Tifinagh/character50, mirrored`.
    """

    augment: float = 0
    mirrored: bool = False


def load_omniglot(
    root: Path | None,
    download: bool,
    split: Split = "random",
    split_seed: int = 0,
    rotations: Rotations = "meta_train",
    changes: Changes | None = None,
    *,
    counts: Counts = OMNIGLOT,
) -> Dataset:
    """Omniglot as sequences of 28 rows of 28 pixels.

    The split `random` permutes the characters of both sets: 1,100 / 100 / 423. The split `lake` keeps the authors'
    sets apart, so that meta-test has alphabets never seen before: 864 / 100 of the background set, and the 659 of the
    evaluation set. Rotations by 90, 180 and 270 degrees are classes of their own, in the same split as their
    character: `Tifinagh/character50@90` (Santoro et al. 2016).

    Args:
        root: the folder with the two zips or their two folders, itself or in `omniglot-py/`; None: the user's own.
        download: whether to fetch the data where there is none of it at all.
        split: `random` or `lake`.
        split_seed: which permutation of the characters the split is made from.
        rotations: the splits that have rotated classes.
        changes: of meta-train's drawings; None: none.
        counts: how many characters there have to be.

    Raises:
        DataError: the data is missing, incomplete or broken, or could not be fetched.
    """
    folder = dataset_root(root, "omniglot")
    if download and not any(present(folder).values()):
        download_omniglot(folder)
    characters = read_characters(folder, counts)
    pools = {}
    for name, chosen in _split(characters, split, split_seed, counts).items():
        rotated = rotations == "all" or (rotations == "meta_train" and name == "meta_train")
        pool = _pool(characters, chosen, rotated)
        pools[name] = changed(pool, changes) if changes and name == "meta_train" else pool
    # Not what meta-train alone has: the tasks to be judged on are the same.
    setting = json.dumps([characters.fingerprint, split, split_seed, rotations])
    sizes = " / ".join(str(pool.classes) for pool in pools.values())
    return Dataset(
        name="omniglot",
        splits=pools,
        steps=SIDE,
        features=SIDE,
        images=True,
        fingerprint=hashlib.sha256(setting.encode()).hexdigest(),
        description=f"{sizes} classes (split {split}, rotations {rotations}) of {counts.per_character} images each",
        reader=DRAWINGS,
    )


def read_characters(folder: Path, counts: Counts) -> Characters:
    """All characters, from the cache where they have been decoded before.

    Raises:
        DataError: the data is missing, incomplete or broken.
    """
    parts = find_parts(folder, counts)
    source = json.dumps([DECODE_VERSION, [list(part.characters.items()) for part in parts]])
    shape = (counts.characters, counts.per_character, SIDE, SIDE)
    content = cached(
        stem=f"omniglot-{SIDE}x{SIDE}",
        key=hashlib.sha256(source.encode()).hexdigest(),
        beside=folder,
        make=lambda: _decode(parts, shape),
        fits=lambda content: content.keys() == {"images", "fingerprint"} and tuple(content["images"].shape) == shape,
    )
    names = [name for part in parts for name in part.characters]
    return Characters(content["images"], names, counts.images_background, content["fingerprint"])


def _decode(parts: list[Part], shape: tuple[int, ...]) -> Content:
    """Decode every image of both parts.

    Raises:
        DataError: with each image that cannot be read.
    """
    images = np.empty((shape[0] * shape[1], SIDE, SIDE), dtype=np.uint8)
    problems: list[Problem] = []
    members = counted(_members(parts), "decoding Omniglot", len(images))
    for position, (path, member, read) in enumerate(members):
        try:
            images[position] = image_from_png(read(member))
        except UNREADABLE as error:
            problems.append(Problem(f"{path}: {member} is broken: {error}", "fetch it again"))
    if problems:
        raise DataError(*first_few(problems, "images are broken", "fetch Omniglot again"))
    names = [name for part in parts for name in part.characters]
    digest = hashlib.sha256(json.dumps([names, shape]).encode() + images.tobytes())
    return {"images": torch.from_numpy(images).reshape(shape), "fingerprint": digest.hexdigest()}


def _members(parts: list[Part]) -> Iterator[tuple[Path, str, Callable[[str], bytes]]]:
    """Every image file, in the order of the characters, with the function that reads it."""
    for part in parts:
        with part.opened() as read:
            for entries in part.characters.values():
                for entry in entries:
                    yield part.path, entry.member, read


def image_from_png(data: bytes) -> NDArray[np.uint8]:
    """[28, 28] uint8: a 105x105 drawing of one bit, ink 0, averaged down to ink 255 on background 0.

    Raises:
        OSError, RuntimeError, SyntaxError, ValueError, struct.error, zlib.error: no whole PNG of that size.
    """
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.verify()  # checksums, which decoding alone does not look at
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        if image.size != FILE_SIZE:
            raise ValueError(f"{image.width}x{image.height} pixels, wanted {FILE_SIZE[0]}x{FILE_SIZE[1]}")
        ink = ImageOps.invert(image.convert("L")).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(ink.point(FULL_INK))


def _split(characters: Characters, split: Split, split_seed: int, counts: Counts) -> dict[str, Tensor]:
    """Return indices of the characters of each split, ascending."""
    count, background = len(characters.names), characters.background
    train, validation = counts.meta_train, counts.meta_validation
    if split == "random":
        sizes = [train, validation, count - train - validation]
        parts = partition(range(count), sizes, split_seed, "omniglot", "split")
    elif split == "lake":
        sizes = [validation, background - validation]
        held_out, rest = partition(range(background), sizes, split_seed, "omniglot", "lake")
        parts = [rest, held_out, list(range(background, count))]
    else:
        raise ValueError(f"split={split!r}: neither 'random' nor 'lake'")
    return {name: torch.tensor(part) for name, part in zip(SPLITS, parts, strict=True)}


def _pool(characters: Characters, chosen: Tensor, rotated: bool) -> ClassDataset:
    """Return the chosen characters, followed by the same turned by 90, 180 and 270 degrees."""
    images = characters.images[chosen]
    names = [characters.names[i] for i in chosen.tolist()]
    quarters = (1, 2, 3) if rotated else ()
    return ClassDataset(
        torch.cat([images, *(torch.rot90(images, quarter, dims=(-2, -1)) for quarter in quarters)]),
        names + [f"{name}@{90 * quarter}" for quarter in quarters for name in names],
    )


def changed(pool: ClassDataset, changes: Changes) -> ClassDataset:
    """Return the classes with the changes made."""
    (augment, mirrored), images, names = changes, pool.examples, pool.names
    if mirrored:
        images = torch.cat((images, images.flip(-1)))
        names = names + [f"{name}, mirrored" for name in names]
    return ClassDataset(images, names, augment=partial(bent, by=BEND.times(augment)) if augment > 0 else None)


@register("dataset", "omniglot")
@dataclass(kw_only=True)
class OmniglotSettings(FolderOfData):
    """The settings of Omniglot."""

    searched: ClassVar[frozenset[str]] = frozenset(("augment", "mirrored"))

    download: bool
    split: str = one_of("random", "lake")
    split_seed: int = bounded(minimum=0, below=2**32)
    rotations: str = one_of("meta_train", "all", "none")
    augment: float = bounded(minimum=0, maximum=10)
    mirrored: bool

    def load(self) -> Dataset:
        return load_omniglot(
            self.folder,
            self.download,
            self.split,  # type: ignore[arg-type]
            self.split_seed,
            self.rotations,  # type: ignore[arg-type]
            Changes(self.augment, self.mirrored),
        )
