"""Speech as an LSTM reads it: the log-mel frames that are made of the samples of a recording.

Frames are a few lines of torch, so that any build of torch will do, and bands are laid over the spectrum by frequency:
a recording that holds all bands keeps its own sampling rate.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from metalstm.datasets.audio.recordings import (
    SILENT,
    UNREADABLE,
    Clip,
    at_rate,
    common_rate,
    count_rates,
    read_clip,
    said_of_rates,
    window_length,
)
from metalstm.datasets.audio.speech_files import Keywords
from metalstm.datasets.files.cache import Content, cached
from metalstm.datasets.files.reader import Example, Read, Reader, Scale, reason, said_together, whole
from metalstm.errors import DataError, Problem, first_few
from metalstm.files.writing import read_bounded
from metalstm.runtime.progress import counted

DECODE_VERSION = 1  # part of the fingerprint: to be raised when frames are made in another way
CACHE_VERSION = 2  # part of the cache's key alone
CONTENT = {"values", "lengths", "fingerprint", "rate", "said", "warnings"}
LOWEST, HIGHEST = 20.0, 8000.0  # Hz, where the bands begin and end; at most half of the sampling rate
FLOOR = 1e-10  # of a band's power, -100 dB of full scale: digital silence has no logarithm
MEND = "fetch it again, remove it, or convert it to a wav of 16 bits"

log = logging.getLogger(__name__)


class FrameSettings(NamedTuple):
    """How a recording becomes a sequence of frames."""

    mels: int = 40  # bands
    hop_ms: int = 20  # milliseconds from one frame to the next
    seconds: float = 1.0  # of a recording that are read, from its start


def read_frames(folder: Path, keywords: Keywords, frames: FrameSettings) -> Content:
    """`values` [C, E, S, mels] float32, `lengths` [C, E] int64 (0: no such recording), and a `fingerprint` of files.

    They come from the cache where the same files have been decoded before. `rate` is the sampling rate at which frames
    are made, `said` is how far up their bands go, `warnings` are logged.

    Raises:
        DataError: naming the files that cannot be read.
    """
    source = {name: [(each.file, each.stamp) for each in recordings] for name, recordings in keywords.items()}
    key = json.dumps([DECODE_VERSION, CACHE_VERSION, frames, list(source.items())])
    shape = (len(keywords), max(map(len, keywords.values())))

    def fits(content: Content) -> bool:
        if content.keys() != CONTENT:
            return False
        values, lengths = content["values"].shape, content["lengths"].shape
        return (values[:2], values[3:], lengths) == (shape, (frames.mels,), shape)

    content = cached(
        stem=f"speech_commands-{frames.mels}x{frames.hop_ms}ms",
        key=hashlib.sha256(key.encode()).hexdigest(),
        beside=folder,
        make=lambda: _decode(keywords, frames),
        fits=fits,
    )
    for warning in content["warnings"]:
        log.warning("%s", warning)
    return content


def _decode(keywords: Keywords, frames: FrameSettings) -> Content:
    """Decode every recording into frames.

    Raises:
        DataError: with each file that cannot be read.
    """
    names = [(name, [each.file for each in recordings]) for name, recordings in keywords.items()]
    digest = hashlib.sha256(json.dumps([DECODE_VERSION, frames, names]).encode())
    problems: list[Problem] = []
    sequences: list[Tensor] = []
    notes: list[tuple[Path, str]] = []
    paths = [recording.path for recordings in keywords.values() for recording in recordings]
    rates = count_rates(paths)
    for path in counted(paths, "decoding speech", len(paths)):
        try:
            data = read_bounded(path)
            recording = read_recording(data, frames, common_rate(rates))
        except UNREADABLE as error:
            problems.append(Problem(f"{path}{reason(error)}", MEND))
            continue
        digest.update(hashlib.sha256(data).digest() + recording.how.encode())
        sequences.append(recording.values)
        notes.append((path, recording.note))
    if problems:
        raise DataError(*first_few(problems, "recordings cannot be read"))
    padded = pad_sequence(sequences, batch_first=True)  # [all of them, S, mels]
    counts = [len(recordings) for recordings in keywords.values()]
    lengths = torch.tensor([len(sequence) for sequence in sequences]).split(counts)
    return {
        "values": pad_sequence(padded.split(counts), batch_first=True),
        "lengths": pad_sequence(lengths, batch_first=True),
        "fingerprint": digest.hexdigest(),
        "rate": common_rate(rates),
        "said": said_of_rates(rates),
        "warnings": said_together(notes),
    }


def read_recording(data: bytes, frames: FrameSettings, rate: int) -> Read:
    """Read a recording as log-mel frames [S, mels] float32, at the sampling rate of its dataset.

    Raises:
        one of UNREADABLE: see `read_clip`.
    """
    clip = at_rate(read_clip(data, frames.seconds), rate)
    silent = f"it is silent: no sample above {SILENT:g} of full scale" if clip.samples.abs().max() < SILENT else ""
    return Read(log_mel(clip, frames.mels, frames.hop_ms), clip.more, silent or clip.note, how=clip.note)


def recording_reader(frames: FrameSettings, rate: int, scale: Scale) -> Reader:
    """Return the reader of a person's own recordings, as those of a dataset were read."""

    def read(data: bytes) -> list[Example]:
        recording = read_recording(data, frames, rate)
        return whole(scale(recording.values), recording.note)

    return Reader("recordings", read)


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
    if clip.rate < 2 * HIGHEST:  # bands are narrower, and none should fall between two frequencies
        bins *= 2
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
    lowest, highest = (2595 * math.log10(1 + frequency / 700) for frequency in (LOWEST, min(HIGHEST, rate / 2)))
    edges = 700 * (10 ** (torch.linspace(lowest, highest, mels + 2, dtype=torch.float64) / 2595) - 1)
    frequency = torch.arange(bins // 2 + 1, dtype=torch.float64).unsqueeze(1) * (rate / bins)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (frequency - low) / (middle - low), (high - frequency) / (high - middle)
    return torch.minimum(rising, falling).clamp(min=0).float()
