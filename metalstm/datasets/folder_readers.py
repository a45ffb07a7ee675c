"""A file of a person's own as numbers: an image, a recording, a table; a line of a text as words.

Legend: S time steps, F features.
"""

from __future__ import annotations

import io
import wave
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from metalstm.datasets.reader import upright_on_white
from metalstm.datasets.speech_features import FrameSettings, log_mel, read_clip
from metalstm.datasets.tables import Numbers, Table, TableSettings, named, read_csv

LONGEST = 10.0  # s, of a recording that are read where no setting says so


class FolderSettings(NamedTuple):
    """How files become examples."""

    image_size: int = 28  # pixels, of height and width
    mels: int = 40  # bands of a frame
    hop_ms: int = 20  # from one frame to the next
    seconds: float | None = None  # of a recording that are read, from its start; None: LONGEST
    max_steps: int = 500  # of a table's rows or a line's words, those beyond are cut off

    @property
    def frames(self) -> FrameSettings:
        return FrameSettings(self.mels, self.hop_ms, LONGEST if self.seconds is None else self.seconds)


def read_image(data: bytes, size: int) -> Tensor:
    """[size, size, 3] uint8: an image turned upright as its camera says, on white, squeezed into a square."""
    flat = upright_on_white(data)
    return torch.from_numpy(np.array(flat.resize((size, size), Image.Resampling.BILINEAR)))


def is_grey(image: Tensor) -> bool:
    return bool((image == image[..., :1]).all())


def rows_of(image: Tensor, channels: int) -> Tensor:
    """[H, W * channels]: an image [H, W, 3] as rows, its colour as grey where there is one channel."""
    if channels == 1:
        weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)  # ITU-R BT.601
        return (image.double() @ weights).round().to(torch.uint8)
    return image.flatten(1)


def read_recording(data: bytes, frames: FrameSettings) -> tuple[Tensor, bool]:
    """[S, mels] float32 log-mel frames; and whether the recording went on."""
    clip = read_clip(data, frames.seconds)
    with wave.open(io.BytesIO(data)) as file:
        cut = file.getnframes() > len(clip.samples)
    return log_mel(clip, frames.mels, frames.hop_ms), cut


def read_table(data: bytes, suffix: str, rows: int, settings: TableSettings) -> Table:
    """The first rows of a csv or npy file, and a few more where it has them."""
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
    """[S, F] of an array [S] or [S, F]; nothing in it can be executed."""
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("it is an archive, not one array")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"it holds {array.dtype}, not numbers")
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(f"its shape is {array.shape}, wanted [steps] or [steps, features]")
    return array.reshape(len(array), -1).astype(np.float64)
