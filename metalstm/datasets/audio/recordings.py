"""Sound files as samples: every format that libsndfile reads, at any sampling rate, with any number of channels.

Legend: N samples, M channels.
"""

from __future__ import annotations

import io
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

FORMATS = ("WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF")
WINDOW_MS = 25  # of a frame
FULL_RATE = 16000  # samples a second that it takes to hold all bands
LOWEST_RATE = 4000  # that frames are made at: slower recordings are resampled to it
SLOWEST, FASTEST = 100, 768_000  # samples a second that a recording may have
MOST_CHANNELS = 64
MOST_SAMPLES = 100_000_000  # of all channels that are read at once
LOUDEST = 1e6  # of full scale: floating-point samples beyond are no sound, and their power is not finite
SILENT = 1e-4  # of full scale, -80 dB: three steps of 16 bits, as dither has them
CANCELLED = 0.01  # of the power that unrelated channels would have together: the channels are in opposite phase
UNKNOWN_SIZE = 0x7FFFF000  # bytes of samples: a header says so many or more, where the end was not known
UNKNOWN_LENGTH = 2**62  # samples that libsndfile gives then
SAMPLE_BYTES = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
# How libsndfile says in its log that a header claims more than there is, of each format.
CUT_OFF = re.compile(r"^ *(?:data|SSND|Data Size|Riff size|riff) *: (\d+) \(should be (\d+)\)", re.MULTILINE)
UNREADABLE = (EOFError, OSError, RuntimeError, ValueError)  # what `read_clip` raises


class Clip(NamedTuple):
    """Sound. Legend: N samples."""

    samples: Tensor  # [N] float32, full scale is -1..1
    rate: int  # samples a second
    more: bool = False  # whether the recording goes on
    note: str = ""  # what a person should hear about it


class Source(io.BytesIO):
    """A file's content, for libsndfile, which may look for something before its beginning."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return super().seek(max(0, offset) if whence == os.SEEK_SET else offset, whence)


def read_clip(data: bytes, seconds: float) -> Clip:
    """Read the first seconds of a recording, the mean of its channels.

    Raises:
        one of UNREADABLE: no whole recording of a known format, one out of bounds, or shorter than a frame.
    """
    if not data:
        raise EOFError
    try:
        with soundfile.SoundFile(Source(data)) as file:
            samples, more = first_samples(file, seconds)
            rate, whole_numbers = file.samplerate, file.subtype.startswith("PCM_")
    except soundfile.LibsndfileError as error:
        raise ValueError(error.error_string.rstrip(".")) from error
    with np.errstate(all="ignore"):  # what is not finite is refused
        mono, note = mixed(samples)
    mono = mono / 2**31 if whole_numbers else mono
    if not np.abs(mono).max() <= LOUDEST:  # nor is it where one is not a number
        raise ValueError(f"it holds samples that are not finite, or more than {LOUDEST:,.0f} times full scale")
    return Clip(torch.from_numpy(mono.astype(np.float32)), rate, more, note)


def first_samples(file: soundfile.SoundFile, seconds: float) -> tuple[NDArray[np.int32] | NDArray[np.float32], bool]:
    """Return the samples [N, M] of the first seconds, as 32 bits or as floats in full scale.

    And whether there are more.
    """
    check_header(file)
    check_whole(file)
    check_length(file.frames, file.samplerate)
    wanted = min(file.frames, round(seconds * file.samplerate))
    if wanted * file.channels > MOST_SAMPLES:
        raise ValueError(f"{file.channels} channels of {wanted:,} samples, wanted at most {MOST_SAMPLES:,} in all")
    kind = "int32" if file.subtype.startswith("PCM_") else "float32"
    samples = file.read(wanted, dtype=kind, always_2d=True)
    if len(samples) < wanted and file.frames < UNKNOWN_LENGTH:
        raise ValueError(f"cut off: {len(samples)} of {wanted} samples are there")
    check_length(len(samples), file.samplerate)
    return samples, wanted < file.frames < UNKNOWN_LENGTH


def check_header(file: soundfile.SoundFile) -> None:
    """Refuse what no recording is, before its samples are read."""
    if file.format not in FORMATS:
        raise ValueError(f"its format is {file.format}, wanted one of {' '.join(FORMATS)}")
    if not SLOWEST <= file.samplerate <= FASTEST:
        raise ValueError(f"{file.samplerate} samples a second, wanted {SLOWEST} to {FASTEST:,}")
    if file.channels > MOST_CHANNELS:
        raise ValueError(f"{file.channels} channels, wanted at most {MOST_CHANNELS}")


def check_length(count: int, rate: int) -> None:
    """Refuse a recording shorter than a frame."""
    if count < max(1, window_length(rate)):
        raise ValueError(f"{count} samples at {rate} a second are shorter than a frame of {WINDOW_MS} ms")


def check_whole(file: soundfile.SoundFile) -> None:
    """Refuse a recording whose header says that it has more samples: libsndfile reads what there is of it."""
    width = file.channels * SAMPLE_BYTES.get(file.subtype, 0)
    for claimed, there in (map(int, sizes) for sizes in CUT_OFF.findall(file.extra_info)):
        if there < claimed < UNKNOWN_SIZE:
            unit = "samples" if width else "bytes"
            raise ValueError(f"cut off: {there // (width or 1)} of {claimed // (width or 1)} {unit} are there")


def mixed(samples: NDArray[np.int32] | NDArray[np.float32]) -> tuple[NDArray[np.float64], str]:
    """Mix channels [N, M] by their mean; where that cancels them out, take the loudest and say so."""
    mono: NDArray[np.float64] = samples.mean(axis=1, dtype=np.float64)
    if samples.shape[1] > 1:
        power = np.square(samples, dtype=np.float64).mean(axis=0)
        if np.square(mono).mean() < CANCELLED * power.sum() / len(power) ** 2:
            return samples[:, power.argmax()].astype(np.float64), (
                "its channels are in opposite phase and cancel out: the louder one is read"
            )
    return mono, ""


def window_length(rate: int) -> int:
    """Return samples of a frame."""
    return round(rate * WINDOW_MS / 1000)


def count_rates(paths: Iterable[Path]) -> Counter[int]:
    """How many recordings have which sampling rate, by their headers; those that cannot be read are not counted."""
    rates: Counter[int] = Counter()
    for path in paths:
        try:
            with soundfile.SoundFile(os.fsencode(path)) as recording:
                check_header(recording)
                rates[recording.samplerate] += 1
        except UNREADABLE:  # named when its samples are read
            continue
    return rates


def common_rate(rates: Counter[int]) -> int:
    """Return the sampling rate at which the frames of all recordings are made.

    The lowest, so that it tells no class apart.
    """
    return min(FULL_RATE, max(LOWEST_RATE, min(rates, default=FULL_RATE)))


def said_of_rates(rates: Counter[int]) -> str:
    """How far up the bands go and why, where that is not as far as they can; empty: they do."""
    rate = common_rate(rates)
    if rate == FULL_RATE:
        return ""
    slow = sum(count for each, count in rates.items() if each < FULL_RATE)
    return (
        f"bands up to {rate // 2:,} Hz, for {slow:,} of {rates.total():,} recordings have fewer than {FULL_RATE:,} "
        f"samples a second, the fewest {min(rates):,}"
    )


def at_rate(clip: Clip, rate: int) -> Clip:
    """Return the clip as frames of a rate are made of it.

    Bands are laid over the spectrum by frequency: at FULL_RATE faster clips hold all bands, and keep their own rate.
    """
    if clip.rate == rate or clip.rate > rate == FULL_RATE:
        return clip
    samples = torch.from_numpy(soxr.resample(clip.samples.numpy(), clip.rate, rate))
    missing = window_length(rate) - len(samples)  # a sample or two, of a clip as short as a frame
    samples = torch.nn.functional.pad(samples, (0, max(0, missing)))
    slow = (
        f"it has {clip.rate:,} samples a second, its frames {rate:,}: the bands above {clip.rate // 2:,} Hz are empty"
    )
    return Clip(samples, rate, clip.more, clip.note or (slow if clip.rate < rate else ""))
