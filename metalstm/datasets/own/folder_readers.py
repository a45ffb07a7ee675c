"""A file of a person's own as numbers: an image, a table.

Legend: S time steps, F features.
"""

from __future__ import annotations

import io
import math
from tokenize import TokenError
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from metalstm.datasets.audio.speech_features import FrameSettings
from metalstm.datasets.files.reader import Read
from metalstm.datasets.own.pictures import read_picture
from metalstm.datasets.own.tables import Numbers, Table, TableSettings, named, read_csv

LONGEST = 10.0  # s, of a recording that are read where no setting says so


class ReadingSettings(NamedTuple):
    """How files become examples."""

    image_size: int = 28  # pixels, of height and width
    mels: int = 40  # bands of a frame
    hop_ms: int = 20  # from one frame to the next
    seconds: float | None = None  # of a recording that are read, from its start; None: LONGEST
    max_steps: int = 500  # of a table's rows or a line's words, those beyond are cut off

    @property
    def frames(self) -> FrameSettings:
        return FrameSettings(self.mels, self.hop_ms, LONGEST if self.seconds is None else self.seconds)


def read_image(data: bytes, size: int) -> Read:
    """Read an image as [size, size, 3] uint8: upright, on paper, squeezed into a square."""
    picture = read_picture(data, size)
    note = "white ink on transparent paper: it is laid on black" if picture.paper == "black" else ""
    values = torch.from_numpy(np.array(picture.image.resize((size, size), Image.Resampling.BILINEAR)))
    return Read(values, note=note, how=f"{note}reduced" if picture.reduced else note)


def is_grey(image: Tensor) -> bool:
    return bool((image == image[..., :1]).all())


def rows_of(image: Tensor, channels: int) -> Tensor:
    """[H, W * channels]: an image [H, W, 3] as rows, its colour as grey where there is one channel."""
    if channels == 1:
        weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)  # ITU-R BT.601
        return (image.double() @ weights).round().to(torch.uint8)
    return image.flatten(1)


def read_table(data: bytes, suffix: str, rows: int, settings: TableSettings) -> Table:
    """Return the first rows of a csv or npy file, and a few more where it has them."""
    if suffix.lower() != ".npy":
        return read_csv(data, rows, settings)
    values = read_npy(data)
    return Table(named([], values.shape[1]), values, header=None)


def as_steps(values: Numbers, most: int) -> Tensor:
    """[S, F] float32: the first rows of a table."""
    with np.errstate(over="ignore"):
        kept = values[:most].astype(np.float32)
    if not np.isfinite(kept).all():
        step = int((~np.isfinite(kept)).any(axis=1).argmax())
        raise ValueError(f"step {step} holds a number that is not finite, or too large for 32 bits")
    return torch.from_numpy(kept)


def read_npy(data: bytes) -> Numbers:
    """[S, F] of an array [S] or [S, F]; nothing in it can be executed, and its header is judged before its numbers."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"it is of version {'.'.join(map(str, version))} of the format, which has names, not numbers")
    try:
        shape, by_column, dtype = read_header(file)
    except (TypeError, TokenError) as error:
        raise ValueError(f"its header is damaged: {error}") from error
    if dtype.kind not in "biuf":
        raise ValueError(f"it holds {dtype}, not numbers")
    if len(shape) not in (1, 2) or not all(type(size) is int and size > 0 for size in shape):
        raise ValueError(f"its shape is {shape}, wanted [steps] or [steps, features]")
    wanted, held = math.prod(shape) * dtype.itemsize, len(data) - file.tell()
    if held < wanted:
        raise ValueError(f"cut off: {held:,} of {wanted:,} bytes of numbers are there")
    array = np.frombuffer(data, dtype, math.prod(shape), file.tell()).reshape(shape, order="F" if by_column else "C")
    return array.reshape(len(array), -1).astype(np.float64)
