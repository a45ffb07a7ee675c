"""Samples of wav files and their log-mel frames, against the formulas and across kinds of files."""

from __future__ import annotations

import io
import math
import wave

import numpy as np
import pytest
import torch

from metalstm.datasets.audio.recordings import UNREADABLE, Clip, read_clip
from metalstm.datasets.audio.speech_features import FLOOR, log_mel, mel_bands


def wav(samples: np.ndarray, rate: int = 16000, width: int = 2) -> bytes:
    """A file of samples [N] or [N, channels] within -1..1."""
    samples = samples if samples.ndim == 2 else samples[:, None]
    whole = np.round(samples * (2 ** (8 * width - 1) - 1)).astype("<i4")
    if width == 1:
        whole += 128
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(whole[..., None].view(np.uint8)[..., :width].tobytes())
    return buffer.getvalue()


def sine(frequency: float, rate: int = 16000, seconds: float = 1.0, height: float = 0.5) -> np.ndarray:
    return height * np.sin(2 * math.pi * frequency * np.arange(round(seconds * rate)) / rate)


def noise(count: int = 16000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, count)


# Files


@pytest.mark.parametrize(("width", "error"), [(1, 0.01), (2, 1e-4), (3, 1e-6), (4, 1e-6)])
def test_samples_of_any_width(width: int, error: float) -> None:
    samples = noise()
    clip = read_clip(wav(samples, width=width), 1.0)
    assert (clip.samples.dtype, clip.rate) == (torch.float32, 16000)
    assert np.abs(clip.samples.numpy() - samples).max() < error


def test_sixteen_bits_are_exact() -> None:
    whole = np.array([-32768, -1, 0, 1, 32767] * 100)
    data = wav(np.zeros(500))
    data = data[:-1000] + whole.astype("<i2").tobytes()
    assert torch.equal(read_clip(data, 1.0).samples, torch.from_numpy(whole / 32768).float())


def test_channels_are_averaged() -> None:
    left, right = noise(seed=1), noise(seed=2)
    clip = read_clip(wav(np.stack([left, right], axis=1)), 1.0)
    assert np.abs(clip.samples.numpy() - (left + right) / 2).max() < 1e-4


def test_only_the_first_seconds_are_read() -> None:
    samples = noise(40000)
    assert np.abs(read_clip(wav(samples), 1.5).samples.numpy() - samples[:24000]).max() < 1e-4
    assert len(read_clip(wav(samples[:9000]), 1.5).samples) == 9000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", None),
        (b"no sound at all, but long enough", "Format not recognised"),
        (wav(noise())[:30], None),
        (wav(noise())[:44], "cut off: 0 of 16000 samples"),
        (wav(noise())[:20000], "cut off: 9978 of 16000 samples"),
        (wav(noise())[:-1], "cut off: 15999 of 16000 samples"),
        (wav(noise(0)), "0 samples at 16000 a second are shorter than a frame of 25 ms"),
        (wav(noise(399)), "399 samples at 16000 a second are shorter than a frame of 25 ms"),
        (wav(noise(), rate=50), "50 samples a second, wanted 100 to 768,000"),
        (wav(noise()).replace(b"fmt \x10\0\0\0\1", b"fmt \x10\0\0\0\x70"), "[Mm]alformed|not recognised|unimplemented"),
    ],
    ids=[
        "empty",
        "no wav",
        "half a header",
        "no data",
        "half",
        "a byte less",
        "no samples",
        "short",
        "slow",
        "unknown",
    ],
)
def test_what_cannot_be_read(data: bytes, reason: str | None) -> None:
    with pytest.raises(UNREADABLE, match=reason):
        read_clip(data, 1.0)


def test_a_frame_is_enough() -> None:
    assert log_mel(read_clip(wav(noise(400)), 1.0), 40, 20).shape == (1, 40)


def test_a_flipped_bit_of_the_header_is_refused_or_harmless() -> None:
    whole = wav(noise(2000))
    refused = 0
    for position in range(8 * 44):
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << position % 8
        try:
            frames = log_mel(read_clip(bytes(flipped), 1.0), 40, 20)
        except UNREADABLE:
            refused += 1
            continue
        assert frames.isfinite().all(), f"bit {position}"
    assert 100 < refused < 8 * 44


# Frames


def test_frames_are_those_of_the_formula() -> None:
    """The discrete Fourier transform and the bands, written out in numpy."""
    samples = noise(1200)
    found = log_mel(Clip(torch.from_numpy(samples).float(), 16000), 10, 20)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    transform = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(400)) / 512)
    mel = np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + 8000 / 700), 12)
    edges = 700 * (10 ** (mel / 2595) - 1)
    expected = np.empty((3, 10))
    for step in range(3):
        power = np.abs(transform @ (taper * samples[320 * step : 320 * step + 400])) ** 2
        for band in range(10):
            weights = np.interp(np.arange(257) * 16000 / 512, edges[band : band + 3], [0, 1, 0])
            expected[step, band] = np.log(2 * (weights @ power) / (taper**2).sum() / 512 + FLOOR)
    assert expected.std() > 0.3
    assert found.shape == (3, 10)
    assert np.abs(found.numpy() - expected).max() < 1e-4


@pytest.mark.parametrize(("hop", "steps"), [(5, 196), (10, 98), (20, 49), (25, 40)])
@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
def test_steps_in_a_second(hop: int, steps: int, rate: int) -> None:
    assert abs(len(log_mel(Clip(torch.zeros(rate), rate), 40, hop)) - steps) <= (rate % 1000 > 0)


def test_a_sine_is_in_its_band_with_its_power() -> None:
    frames = log_mel(read_clip(wav(sine(1000)), 1.0), 40, 20)
    mel = 2595 * math.log10(1 + 1000 / 700)
    low, high = (2595 * math.log10(1 + frequency / 700) for frequency in (20, 8000))
    assert int(frames.mean(dim=0).argmax()) == round((mel - low) / (high - low) * 41) - 1
    total = (frames.exp() - FLOOR).sum(dim=1)
    assert (total / (0.5**2 / 2) - 1).abs().max() < 0.1  # neighbouring triangles add up to 1


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_the_sampling_rate_does_not_show(rate: int) -> None:
    def chord(at: int) -> torch.Tensor:
        samples = sum(sine(frequency, at, height=0.2) for frequency in (300, 1100, 3500))
        return log_mel(read_clip(wav(np.asarray(samples), at), 1.0), 20, 20)[:48]

    loud = chord(16000) > -7
    assert 0.1 < loud.float().mean() < 0.9
    assert (chord(rate) - chord(16000))[loud].abs().max() < 0.05  # of a range of 20


@pytest.mark.parametrize("rate", [16000, 20400, 22050, 44100, 48000, 96000])
def test_no_band_is_empty(rate: int) -> None:
    bins = 1 << (round(rate * 0.025) - 1).bit_length()
    bands = mel_bands(80, rate, bins)
    assert (bands.amax(dim=0) > 0.25).all()


def test_silence_is_finite() -> None:
    assert torch.allclose(log_mel(Clip(torch.zeros(16000), 16000), 40, 20), torch.tensor(math.log(FLOOR)))
