"""Speech as an LSTM reads it: the samples of a wav file, and the log-mel frames that are made of them.

The standard library reads the files, as it notices one that is cut off. Frames are a few lines of torch, so that any
build of torch will do, and bands are laid over the spectrum by frequency: a file keeps its own sampling rate.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import math
import struct
import wave
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from metalstm.datasets.cache import Content, cached
from metalstm.datasets.counted import counted
from metalstm.datasets.speech_files import Keywords, first
from metalstm.errors import DataError, Problem

DECODE_VERSION = 1  # part of the fingerprint and of the cache's key: to be raised when frames are made in another way
WINDOW_MS = 25  # of a frame
LOWEST, HIGHEST = 20.0, 8000.0  # Hz, where the bands begin and end
LEAST_RATE = 16000  # samples a second that it takes to hold HIGHEST
FLOOR = 1e-10  # of a band's power, -100 dB of full scale: digital silence has no logarithm
# What `read_clip` raises.
UNREADABLE = (EOFError, OSError, RuntimeError, ValueError, struct.error, wave.Error)


class FrameSettings(NamedTuple):
    """How a recording becomes a sequence of frames."""

    mels: int = 40  # bands
    hop_ms: int = 20  # milliseconds from one frame to the next
    seconds: float = 1.0  # of a recording that are read, from its start


class Clip(NamedTuple):
    """Sound. Legend: N samples."""

    samples: Tensor  # [N] float32, -1..1
    rate: int  # samples a second


def read_frames(folder: Path, keywords: Keywords, frames: FrameSettings) -> Content:
    """`values` [C, E, S, mels] float32, `lengths` [C, E] int64 (0: no such recording), and a `fingerprint` of files.

    They come from the cache where the same files have been decoded before.

    Raises:
        DataError: naming the files that cannot be read.
    """
    source = {name: [(each.file, each.stamp) for each in recordings] for name, recordings in keywords.items()}
    key = json.dumps([DECODE_VERSION, frames, list(source.items())])
    shape = (len(keywords), max(map(len, keywords.values())))

    def fits(content: Content) -> bool:
        if content.keys() != {"values", "lengths", "fingerprint"}:
            return False
        values, lengths = content["values"].shape, content["lengths"].shape
        return (values[:2], values[3:], lengths) == (shape, (frames.mels,), shape)

    return cached(
        stem=f"speech_commands-{frames.mels}x{frames.hop_ms}ms",
        key=hashlib.sha256(key.encode()).hexdigest(),
        beside=folder,
        make=lambda: _decode(keywords, frames),
        fits=fits,
    )


def _decode(keywords: Keywords, frames: FrameSettings) -> Content:
    """Raises DataError naming the files that cannot be read."""
    names = [(name, [each.file for each in recordings]) for name, recordings in keywords.items()]
    digest = hashlib.sha256(json.dumps([DECODE_VERSION, frames, names]).encode())
    problems: list[Problem] = []
    sequences: list[Tensor] = []
    everything = [recording for recordings in keywords.values() for recording in recordings]
    for recording in counted(everything, "decoding speech", len(everything)):
        try:
            data = recording.path.read_bytes()
            clip = read_clip(data, frames.seconds)
        except UNREADABLE as error:
            problems.append(_broken(recording.path, error))
            continue
        digest.update(hashlib.sha256(data).digest())
        sequences.append(log_mel(clip, frames.mels, frames.hop_ms))
    if problems:
        raise DataError(*first(problems, "recordings cannot be read"))
    padded = pad_sequence(sequences, batch_first=True)  # [all of them, S, mels]
    counts = [len(recordings) for recordings in keywords.values()]
    lengths = torch.tensor([len(sequence) for sequence in sequences]).split(counts)
    return {
        "values": pad_sequence(padded.split(counts), batch_first=True),
        "lengths": pad_sequence(lengths, batch_first=True),
        "fingerprint": digest.hexdigest(),
    }


def _broken(path: Path, error: Exception) -> Problem:
    return Problem(
        f"{path}: cannot be read: {str(error) or 'it ends too early'}",
        f"fetch it again, remove it, or convert it to 16-bit PCM of {LEAST_RATE} samples a second or more",
    )


def read_clip(data: bytes, seconds: float) -> Clip:
    """The first seconds of a wav file of whole numbers (PCM) of 8 to 32 bits, the mean of its channels.

    Raises:
        one of UNREADABLE: no whole wav file of that kind, too low a sampling rate, or shorter than a frame.
    """
    with wave.open(io.BytesIO(data)) as file:
        channels, width, rate, count = file.getparams()[:4]
        frames = file.readframes(count)
    if width > 4:
        raise ValueError(f"{8 * width} bits a sample, wanted 8 to 32")
    if rate < LEAST_RATE:
        raise ValueError(f"{rate} samples a second, wanted {LEAST_RATE} or more")
    held = len(frames) // (channels * width)
    if held < count:
        raise ValueError(f"cut off: {held} of {count} samples are there")
    if count < window_length(rate):
        raise ValueError(f"{count} samples at {rate} a second are shorter than a frame of {WINDOW_MS} ms")
    used = min(count, round(seconds * rate))
    whole = np.zeros((used, channels, 4), dtype=np.uint8)  # a sample as the upper bytes of 32 bits
    whole[..., 4 - width :] = np.frombuffer(frames, dtype=np.uint8).reshape(count, channels, width)[:used]
    if width == 1:
        whole[..., 3] ^= 0x80  # 8 bits have no sign, all others do
    samples = whole.view("<i4").squeeze(-1).mean(axis=1) / 2**31
    return Clip(torch.from_numpy(samples.astype(np.float32)), rate)


def window_length(rate: int) -> int:
    """Samples of a frame."""
    return round(rate * WINDOW_MS / 1000)


def log_mel(clip: Clip, mels: int, hop_ms: int) -> Tensor:
    """[S, mels] float32: the logarithm of each band's power in each frame; a full sine wave has power 1/2.

    Power is that of a band and not that of a bin, so that it does not depend on the sampling rate.

    Args:
        clip: not shorter than a frame.
        mels: bands, evenly spaced on the mel scale.
        hop_ms: milliseconds from one frame to the next. S is how many whole frames there are.
    """
    length = window_length(clip.rate)
    bins = 1 << (length - 1).bit_length()
    taper = torch.hann_window(length)
    frames = clip.samples.unfold(0, length, round(clip.rate * hop_ms / 1000)) * taper
    power = torch.fft.rfft(frames, n=bins).abs().square()  # [S, bins / 2 + 1]
    density = 2 * power / taper.square().sum() / clip.rate  # per Hz; twice, for the negative frequencies
    bands: Tensor = density @ mel_bands(mels, clip.rate, bins) * (clip.rate / bins)
    return (bands + FLOOR).log()


@functools.lru_cache(maxsize=16)
def mel_bands(mels: int, rate: int, bins: int) -> Tensor:
    """[bins / 2 + 1, mels]: triangles of height 1, each from the middle of the band before to that of the band after.

    The mel scale is O'Shaughnessy's, 2595 log10(1 + f / 700 Hz).
    """
    lowest, highest = (2595 * math.log10(1 + frequency / 700) for frequency in (LOWEST, HIGHEST))
    edges = 700 * (10 ** (torch.linspace(lowest, highest, mels + 2, dtype=torch.float64) / 2595) - 1)
    frequency = torch.arange(bins // 2 + 1, dtype=torch.float64).unsqueeze(1) * (rate / bins)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (frequency - low) / (middle - low), (high - frequency) / (high - middle)
    return torch.minimum(rising, falling).clamp(min=0).float()
