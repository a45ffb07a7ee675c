"""Drawings of a person's own, as those of characters are: dark ink on light paper."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from metalstm.datasets.files.reader import Reader, whole
from metalstm.datasets.own.pictures import read_picture

SIDE = 28  # pixels, of a drawing as a model sees it
# Averaged to 28 pixels a stroke of pen keeps about two thirds of its ink; this makes it full again.
FULL_INK = [min(255, level * 3 // 2) for level in range(256)]


def read_drawing(data: bytes) -> Tensor:
    """[28, 28] uint8, ink 255 on background 0: an image of any size, set on a square of paper where it is none.

    Raises:
        one of UNREADABLE: no whole image.
    """
    picture = read_picture(data, SIDE)
    grey = picture.image.convert("L")
    ink = grey if picture.paper == "black" else ImageOps.invert(grey)
    small = ImageOps.pad(ink, (SIDE, SIDE), Image.Resampling.BOX, color=0)
    return torch.from_numpy(np.array(small.point(FULL_INK)))


DRAWINGS = Reader("images", lambda data: whole(read_drawing(data)))
