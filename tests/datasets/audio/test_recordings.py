"""Recordings of every format, at every rate, of any channels: read alike by each dataset, or refused by name."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from metalstm.datasets.audio.recordings import UNREADABLE, Clip, at_rate, common_rate, read_clip
from metalstm.datasets.audio.speech_commands import load_speech_commands
from metalstm.datasets.audio.speech_features import log_mel
from metalstm.datasets.base import Dataset
from metalstm.datasets.files.support_set import read_query
from metalstm.datasets.own.folder import load_folder
from metalstm.errors import DataError

LOADERS: list[Callable[[Path], Dataset]] = [load_folder, lambda root: load_speech_commands(root, augment=False)]
both = pytest.mark.parametrize("load", LOADERS, ids=["folder", "speech_commands"])


def tune(pitch: float, rate: int = 16000, seconds: float = 0.3) -> NDArray[np.float64]:
    time = np.arange(round(seconds * rate)) / rate
    return 0.3 * np.sin(2 * np.pi * pitch * time) + 0.2 * np.sin(2 * np.pi * 2.7 * pitch * time)


def rich(pitch: float, rate: int = 16000, seconds: float = 0.5) -> NDArray[np.float64]:
    """Something in every band up to 3,600 Hz, whatever the rate."""
    time = np.arange(round(seconds * rate)) / rate
    pitches = np.linspace(20, 3600, 200) + pitch / 30
    parts = np.sin(2 * np.pi * (np.outer(pitches, time) + np.arange(200)[:, None] ** 2 / 7))
    return 0.005 * parts.sum(axis=0) * (1.5 + np.sin(2 * np.pi * 5 * time))


def sound(samples: Any, rate: int = 16000, form: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=form, subtype=subtype)
    return buffer.getvalue()


def make(root: Path, content: Callable[[int, int], bytes], suffix: str = ".wav") -> Path:
    """Six classes of three recordings by three speakers."""
    for label in range(6):
        (root / f"class{label}").mkdir(parents=True)
        for number in range(3):
            (root / f"class{label}" / f"{number}_x{suffix}").write_bytes(content(label, number))
    return root


def frames(dataset: Dataset) -> torch.Tensor:
    return torch.cat([pool.examples.flatten(0, 1) for pool in dataset.splits.values()])  # type: ignore[attr-defined]


# Formats


@pytest.mark.parametrize(
    ("form", "subtype", "error"),
    [
        *(("WAV", subtype, 1e-6) for subtype in ("FLOAT", "DOUBLE", "PCM_24", "PCM_32")),
        *(("WAVEX", "PCM_16", 1e-4), ("WAVEX", "FLOAT", 1e-6), ("WAV", "ULAW", 0.02), ("WAV", "PCM_U8", 0.01)),
        *((form, "PCM_16", 1e-4) for form in ("FLAC", "AIFF", "AU", "CAF", "W64", "RF64")),
    ],
)
def test_every_format(form: str, subtype: str, error: float) -> None:
    clip = read_clip(sound(tune(300), 16000, form, subtype), 1.0)
    assert (len(clip.samples), clip.rate, clip.more) == (4800, 16000, False)
    assert np.abs(clip.samples.numpy() - tune(300)).max() < error


@pytest.mark.parametrize(("form", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
def test_formats_that_lose_something(form: str, subtype: str) -> None:
    whole, kept = (read_clip(sound(tune(300), 16000, *each), 1.0) for each in (("WAV",), (form, subtype)))
    loud = log_mel(whole, 20, 20) > -9
    assert 0.05 < loud.float().mean() < 0.9
    assert (log_mel(kept, 20, 20)[: len(loud)] - log_mel(whole, 20, 20))[loud].abs().mean() < 0.3


@both
@pytest.mark.parametrize(
    ("form", "subtype", "suffix"),
    [("WAV", "FLOAT", ".wav"), ("WAVEX", "PCM_16", ".WAV"), ("MP3", None, ".wav"), ("MP3", None, ".mp3"),
     ("FLAC", None, ".flac"), ("OGG", None, ".ogg"), ("AIFF", None, ".aif")],
)  # fmt: skip
def test_folders_of_every_format(load: Any, form: str, subtype: str, suffix: str, tmp_path: Path) -> None:
    root = make(tmp_path, lambda label, number: sound(tune(200 + 99 * label + number), 16000, form, subtype), suffix)
    values = frames(load(root))
    assert values.isfinite().all()
    assert values.shape[0] == 18
    assert len({float(row.sum()) for row in values}) == 18


@both
def test_what_was_read_before_is_what_it_was(load: Any, tmp_path: Path) -> None:
    """Fingerprints of the same files as the standard library's reader gave them."""
    samples = (np.arange(6400) * 37 % 20011 - 10005).astype("<i2")
    root = make(tmp_path, lambda label, number: sound(samples + 7 * label + number))
    assert load(root).fingerprint[:16] == {load_folder: "4423f68ac90b92dd"}.get(load, "0acae4c090fd19cc")


# Sampling rates


@both
def test_8_kHz_has_bands_up_to_4_kHz(load: Any, tmp_path: Path) -> None:
    dataset = load(make(tmp_path, lambda label, number: sound(tune(200 + 99 * label + number, 8000), 8000)))
    assert "bands up to 4,000 Hz, for 18 of 18 recordings have fewer than 16,000" in " ".join(dataset.details)
    assert frames(dataset).std(dim=(0, 1)).min() > 0.1  # no band is empty
    clip = read_clip(sound(tune(1000, 8000), 8000), 1.0)
    mel = [2595 * np.log10(1 + hertz / 700) for hertz in (20, 1000, 4000)]
    assert int(log_mel(clip, 40, 20).mean(dim=0).argmax()) == round((mel[1] - mel[0]) / (mel[2] - mel[0]) * 41) - 1


@both
def test_a_rate_tells_no_class(load: Any, tmp_path: Path) -> None:
    rates = (8000, 16000, 44100)
    dataset = load(make(tmp_path, lambda label, number: sound(rich(40 * label, rates[number]), rates[number])))
    assert "for 6 of 18 recordings have fewer" in " ".join(dataset.details)
    slow, middle, fast = frames(dataset).unflatten(0, (6, 3)).unbind(1)
    bands = 38  # the others are above the sound
    assert slow[..., :bands].std() > 0.5
    for other in (middle, fast):
        assert (slow - other)[..., :bands].abs().mean() < 0.05


@pytest.mark.parametrize("rate", [1000, 4000, 8000, 11025, 12000, 15999])
def test_any_rate_is_resampled(rate: int) -> None:
    clip = at_rate(read_clip(sound(tune(100, rate), rate), 1.0), common_rate({rate: 1, 48000: 9}))  # type: ignore[arg-type]
    assert clip.rate == max(4000, rate)
    assert len(log_mel(clip, 80, 25)) in (11, 12)
    assert log_mel(clip, 80, 25)[:, : (40 if rate == 1000 else 80)].std(dim=1).min() > 0.1


def test_a_file_is_resampled_to_the_rate_of_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for rate, other in ((8000, 44100), (16000, 8000)):
        root = make(tmp_path / f"{rate}", lambda label, number, at=rate: sound(rich(40 * label, at), at))  # type: ignore[misc]
        dataset = load_folder(root)
        query = tmp_path / f"query{rate}"
        query.mkdir()
        for name, at in (("a", rate), ("b", other)):
            (query / f"{name}.wav").write_bytes(sound(rich(30, at), at))
        assert dataset.reader is not None
        same, resampled = read_query(query, dataset.reader).values
        assert same[:, :25].std() > 0.5
        assert (same - resampled)[:, :25].abs().mean() < 0.05, rate
    notes = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(notes) == 1
    assert notes[0].startswith(f"1 of 2 files, such as {query / 'b.wav'}: it has 8,000 samples a second, its frames")
    assert notes[0].endswith("the bands above 4,000 Hz are empty")


# Channels


def test_channels_that_cancel_out() -> None:
    left = tune(300)
    for right, heard in ((-left, left), (-0.97 * left, left), (-1.04 * left, -1.04 * left)):
        clip = read_clip(sound(np.stack([left, right], axis=1), subtype="FLOAT"), 1.0)
        assert np.abs(clip.samples.numpy() - heard).max() < 1e-6
        assert "cancel out" in clip.note


@pytest.mark.parametrize("right", [0 * tune(300), tune(300), tune(777), -0.5 * tune(300)])
def test_channels_that_do_not(right: NDArray[np.float64]) -> None:
    clip = read_clip(sound(np.stack([tune(300), right], axis=1), subtype="FLOAT"), 1.0)
    assert np.abs(clip.samples.numpy() - (tune(300) + right) / 2).max() < 1e-6
    assert clip.note == ""


@both
def test_cancelled_channels_are_counted(load: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def content(label: int, number: int) -> bytes:
        left = tune(200 + 99 * label + number)
        return sound(np.stack([left, -left if number == 1 else left], axis=1))

    root = make(tmp_path, content)
    for _ in range(2):  # also from the cache
        caplog.clear()
        values = frames(load(root))
        assert "6 of 18 files, such as " in caplog.text
        assert "class0/1_x.wav: its channels are in opposite phase" in caplog.text
    assert len({float(row.sum()) for row in values}) == 18


# What cannot be read


def claiming(size: int) -> bytes:
    data = sound(tune(300))
    at = data.index(b"data") + 4
    return data[:at] + size.to_bytes(4, "little") + data[at + 4 :]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (claiming(2_000_000_000), "cut off: 4800 of 1000000000 samples"),
        (sound(tune(300), form="AIFF")[:5000], "cut off: 24.. of 4... samples"),
        (sound(tune(300), form="AU")[:5000], "cut off: 2488 of 4800 samples"),
        (sound(tune(300), form="FLAC")[:1500], "lost sync|cut off"),
        (sound([np.nan, 0.5] * 1000, subtype="FLOAT"), "not finite"),
        (sound([1e30, 0.5] * 1000, subtype="FLOAT"), "1,000,000 times full scale"),
        (sound(np.zeros((900, 65))), "65 channels, wanted at most 64"),
        (b"ID3\3" + bytes(3000), "not recognised|malformed|unsupported"),
        (b"\x89PNG\r\n\x1a\n" + bytes(3000), "not recognised"),
    ],
    ids=["gigabytes", "aiff", "au", "flac", "nan", "loud", "channels", "mp3", "png"],
)
def test_what_cannot_be_read(data: bytes, reason: str) -> None:
    with pytest.raises(UNREADABLE, match=reason):
        read_clip(data, 1.0)


def test_a_stream_without_an_end_is_read() -> None:
    assert len(read_clip(claiming(2**32 - 1), 1.0).samples) == 4800


@both
def test_broken_files_are_named_together(load: Any, tmp_path: Path) -> None:
    root = make(tmp_path, lambda label, number: sound(tune(300)) if number else b"RIFF" + bytes(50))
    with pytest.raises(DataError) as error:
        load(root)
    assert error.value.exit_code == 3
    assert "class0/0_x.wav: cannot be read: " in str(error.value)
    assert len(error.value.problems) == 6
    assert "1 more" in str(error.value)


def test_a_short_clip_is_a_frame_after_resampling() -> None:
    for rate in range(11000, 12000, 37):
        clip = at_rate(Clip(torch.ones(round(rate * 0.025)), rate), 8000)
        assert log_mel(clip, 40, 20).shape == (1, 40)


@both
def test_silent_recordings_are_counted(load: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dither = np.random.default_rng(0).integers(-2, 3, 8000) / 2**15
    load(make(tmp_path, lambda label, number: sound(dither if number == 0 else tune(300 + 50 * label))))
    assert "6 of 18 files, such as " in caplog.text
    assert "it is silent: no sample above 0.0001 of full scale" in caplog.text
