"""Writes files of CIFAR-100's form and size with drawn figures in them, to try `dataset=cifar_fs` without a network.

    python scripts/cifar_form.py FOLDER

A class is a figure of `glyphs` in dark ink of one colour on light paper of another, both drawn anew for each image, so
that a class is told by its shape alone.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metalstm.datasets.images.cifar100_files import COLOURS, FILES, SIDE, Counts
from metalstm.datasets.images.cifar_fs import CLASSES
from metalstm.datasets.images.glyphs import load_glyphs
from metalstm.tasks.classes import ClassDataset

FULL = Counts()


def write(folder: Path, counts: Counts = FULL) -> None:
    """Writes train, test and meta, with so many images of each class."""
    each = sum(counts)
    names = sorted(name for chosen in CLASSES.values() for name in chosen)
    pools = [pool for pool in load_glyphs(len(names), each).splits.values() if isinstance(pool, ClassDataset)]
    ink = torch.cat([pool.examples for pool in pools]).float().div(255)  # [100, 600, 28, 28]
    edge = (SIDE - ink.shape[-1]) // 2
    ink = torch.nn.functional.pad(ink, [edge] * 4).unsqueeze(2)
    random = torch.Generator().manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    first = 0
    for file, count in zip(FILES, counts, strict=False):
        part = ink[:, first : first + count]
        colours = 0.4 * torch.rand(2, *part.shape[:2], COLOURS, 1, 1, generator=random)
        ink_colour, paper = colours[0], 1 - colours[1]
        images = (255 * (paper + part * (ink_colour - paper))).to(torch.uint8)
        data = images.flatten(0, 1).flatten(1).numpy()
        labels = np.repeat(np.arange(len(names)), count).tolist()
        save(folder / file, {b"data": data, b"fine_labels": labels, b"filenames": [b"drawn.png"] * len(data)})
        first += count
    save(folder / FILES[-1], {b"fine_label_names": [name.encode() for name in names]})


def save(file: Path, content: dict[bytes, Any]) -> None:
    """Pickles as Python 2 did: texts are bytes, and arrays are written whole."""
    with file.open("wb") as out:
        pickle.dump(content, out, protocol=4)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
