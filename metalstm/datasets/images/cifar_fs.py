"""CIFAR-FS, Bertinetto et al. 2019: the 100 classes of CIFAR-100, 64 / 16 / 20, 600 colour images of each."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from metalstm.datasets.base import Dataset, FolderOfData
from metalstm.datasets.images.cifar100_files import (
    COLOURS,
    SIDE,
    Counts,
    download_cifar100,
    find_folder,
    present,
    read_images,
)
from metalstm.files.paths import dataset_root
from metalstm.registry import register
from metalstm.tasks.classes import ClassDataset

CIFAR100 = Counts()
# "Meta-learning with differentiable closed-form solvers", whose authors drew them once at random.
SPLIT = {
    "meta_train": (
        "apple aquarium_fish bear bee bottle bowl boy bridge bus can castle caterpillar chair clock cloud cockroach "
        "couch cup dinosaur dolphin elephant forest girl hamster house kangaroo keyboard lawn_mower lion lizard "
        "lobster mountain mouse mushroom oak_tree orange orchid palm_tree pear pine_tree plate porcupine possum "
        "rabbit raccoon ray road seal shrew skunk skyscraper snake spider squirrel streetcar sunflower tank tiger "
        "train trout tulip turtle willow_tree wolf"
    ),
    "meta_validation": (
        "beaver beetle butterfly camel cattle crab crocodile flatfish lamp maple_tree motorcycle otter sea shark "
        "television tractor"
    ),
    "meta_test": (
        "baby bed bicycle chimpanzee fox leopard man pickup_truck plain poppy rocket rose snail sweet_pepper table "
        "telephone wardrobe whale woman worm"
    ),
}
CLASSES = {split: names.split() for split, names in SPLIT.items()}


def load_cifar_fs(root: Path | None, download: bool, *, counts: Counts = CIFAR100) -> Dataset:
    """CIFAR-FS as sequences of 32 rows of 32 pixels, each of three colours.

    Args:
        root: the folder with CIFAR-100's train, test and meta, itself or in `cifar-100-python/`; None: the user's own.
        download: whether to fetch the data where there is none of it at all.
        counts: how many images of a class there have to be in either file.

    Raises:
        DataError: the data is missing, incomplete or broken, or could not be fetched.
    """
    folder = dataset_root(root, "cifar_fs")
    if download and not present(folder):
        download_cifar100(folder)
    names = sorted(name for chosen in CLASSES.values() for name in chosen)
    images = torch.from_numpy(read_images(find_folder(folder), names, counts))
    pools = {split: ClassDataset(images[[*map(names.index, chosen)]], chosen) for split, chosen in CLASSES.items()}
    digest = hashlib.sha256(json.dumps([CLASSES, images.shape]).encode())
    digest.update(images.numpy().data)
    sizes = " / ".join(str(pool.classes) for pool in pools.values())
    return Dataset(
        name="cifar_fs",
        splits=pools,
        steps=SIDE,
        features=SIDE * COLOURS,
        images=True,
        fingerprint=digest.hexdigest(),
        description=f"{sizes} classes of {sum(counts)} images each, {SIDE}x{SIDE} pixels in {COLOURS} colours",
    )


@register("dataset", "cifar_fs")
@dataclass(kw_only=True)
class CifarFSSettings(FolderOfData):
    """The settings of CIFAR-FS."""

    download: bool

    def load(self) -> Dataset:
        return load_cifar_fs(self.folder, self.download)
