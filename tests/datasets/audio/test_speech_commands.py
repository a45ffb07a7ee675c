"""Spoken keywords: from folders of wav files, whole or broken, to splits; small folders made here, and real ones."""

from __future__ import annotations

import hashlib
import os
import shutil
import wave
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from metalstm.config.fields import typed
from metalstm.datasets.audio import speech_features
from metalstm.datasets.audio.recordings import Clip, read_clip
from metalstm.datasets.audio.speech_commands import SpeechCommandsSettings, load_speech_commands
from metalstm.datasets.audio.speech_features import FrameSettings, log_mel
from metalstm.datasets.base import Dataset
from metalstm.errors import Problem
from metalstm.tasks.sampler import TaskSampler, TaskShape, seeded_generator
from support.datasets import pools, refusal, same
from support.places import CONFIGS, shared_data

KEYWORDS = ["down", "go", "left", "no", "right", "stop", "up", "zoom in"]  # 4 / 2 / 2
SPEAKERS = ["0000c3", "a1", "b2"]


@pytest.fixture(autouse=True)
def user_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg-cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg-data"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Google's layout: a folder for each keyword, with a recording by each of three speakers, and what goes with it."""
    root = tmp_path / "google"
    for keyword in KEYWORDS:
        for speaker in SPEAKERS:
            record(root / keyword / f"{speaker}_nohash_0.wav")
    (root / "_background_noise_").mkdir()
    (root / "_background_noise_" / "rain.wav").write_bytes(b"not a keyword")
    (root / "testing_list.txt").write_text("up/a1_nohash_0.wav\n")
    return root


def record(path: Path, seconds: float = 1.0, sound: str = "", rate: int = 16000) -> None:
    """A wav file of noise under a tune, both as its name, or `sound`, has it."""
    seed = int.from_bytes(hashlib.sha256((sound or "/".join(path.parts[-2:])).encode()).digest()[:4], "little")
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    tune = np.sin(2 * np.pi * random.uniform(200, 4000) * time) * np.sin(np.pi * time * random.uniform(1, 5)) ** 2
    samples = 0.3 * tune + random.normal(0, random.uniform(0.001, 0.1), len(time))
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", "not compressed"))
        file.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())


failing = partial(refusal, load_speech_commands)


def recording(dataset: Dataset, keyword: str, number: int = 0) -> torch.Tensor:
    """[S, F]: a recording of a keyword, whichever split it is in."""
    for pool in pools(dataset).values():
        if keyword in pool.names:
            return pool.examples[pool.names.index(keyword), number]
    raise AssertionError(f"no {keyword}")


# Where the keywords are


def test_both_layouts_give_the_same(root: Path, tmp_path: Path) -> None:
    dataset = load_speech_commands(root, augment=False)
    shutil.copytree(root, tmp_path / "arabic" / "dataset")
    (tmp_path / "arabic" / "images").mkdir()
    (tmp_path / "arabic" / "train.csv").write_text("file,class\n")
    assert same(dataset, load_speech_commands(tmp_path / "arabic", augment=False))
    assert (dataset.steps, dataset.features, dataset.outputs, dataset.images) == (49, 40, None, False)
    assert (dataset.kind, dataset.vocabulary) == ("classification", 0)
    assert {name for pool in pools(dataset).values() for name in pool.names} == set(KEYWORDS)
    assert [pool.examples.shape for pool in pools(dataset).values()] == [(n, 3, 49, 40) for n in (4, 2, 2)]
    assert dataset.description.startswith("4 / 2 / 2 keywords of 3 recordings by 3 speakers; 49 frames of 40 log-mel")
    assert "over meta_train; support and query by different speakers" in dataset.description


def test_a_keyword_may_be_called_dataset(root: Path) -> None:
    record(root / "dataset" / "a1_nohash_0.wav")
    record(root / "dataset" / "b2_nohash_0.wav")
    assert recording(load_speech_commands(root), "dataset").shape == (49, 40)


def test_files_that_are_no_recordings_do_not_count(root: Path) -> None:
    dataset = load_speech_commands(root)
    for path in (root / ".git" / "x.wav", root / "up" / "._a1_nohash_0.wav", root / "up" / "notes.txt"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    (root / "background_noise").mkdir()
    assert same(dataset, load_speech_commands(root))


def test_the_users_own_folder(root: Path, tmp_path: Path) -> None:
    dataset = load_speech_commands(root)
    own = tmp_path / "xdg-data" / "metalstm" / "speech_commands"
    assert str(own) in failing(None)
    shutil.copytree(root, own)
    assert same(dataset, load_speech_commands(None))


# What is wrong with the data


def test_missing_folder(tmp_path: Path) -> None:
    message = failing(tmp_path / "nowhere")
    assert "nowhere: no such folder: 0 keywords found" in message
    assert "dataset.root" in failing(Path("~nobody-is-called-so/x"))
    assert "dataset.root" in message
    assert not (tmp_path / "nowhere").exists()


def test_folder_without_recordings(tmp_path: Path) -> None:
    assert "0 folders without a recording: 0 keywords found" in failing(tmp_path)
    (tmp_path / "dataset" / "up").mkdir(parents=True)
    assert "2 folders without a recording: 0 keywords found" in failing(tmp_path)  # dataset/up and dataset


def test_a_file_is_no_folder(root: Path) -> None:
    assert "no such folder" in failing(root / "testing_list.txt")
    dataset = load_speech_commands(root)
    (root / "dataset").write_bytes(b"")
    assert same(dataset, load_speech_commands(root))


def test_keywords_without_recordings_are_named(root: Path) -> None:
    for keyword in ("left", "up"):
        for path in (root / keyword).iterdir():
            path.unlink()
    message = failing(root)
    assert f"{root / 'left'}: holds no recording (6 of 8 keywords have recordings)" in message
    assert f"{root / 'up'}: holds no recording" in message
    assert message.count("error:") == 2


def test_many_keywords_without_recordings_are_summed_up(root: Path) -> None:
    for keyword in KEYWORDS[:7]:
        shutil.rmtree(root / keyword)
        (root / keyword).mkdir()
    message = failing(root)
    assert message.count("holds no recording") == 5
    assert "2 more keywords have none" in message


def test_too_few_keywords(root: Path) -> None:
    shutil.rmtree(root / "up")
    shutil.rmtree(root / "no")
    assert pools(load_speech_commands(root))["meta_test"].classes == 2
    shutil.rmtree(root / "go")
    assert "5 keywords found, but the splits need 6, two in each" in failing(root)


def test_a_single_speaker(root: Path) -> None:
    for name in ("b2", "0000c3"):
        (root / "left" / f"{name}_nohash_0.wav").unlink()
    record(root / "left" / "a1_nohash_1.wav")
    message = failing(root)
    assert "keyword 'left' has one speaker in 2 recordings" in message
    assert "dataset.speakers=any" in message
    assert pools(load_speech_commands(root, speakers="any"))
    assert failing(root, examples=1).count("has one speaker in 1 recordings") == 5


def test_unknown_speakers_are_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="speakers='some'"):
        load_speech_commands(root, speakers="some")  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", ["empty", "no wav", "cut off", "short"])
def test_broken_recordings_are_named_all_at_once(damage: str, root: Path) -> None:
    paths = [root / "down" / "a1_nohash_0.wav", root / "zoom in" / "b2_nohash_0.wav"]
    for path in paths:
        data = {"empty": b"", "no wav": b"no sound at all, but long enough", "cut off": path.read_bytes()[:-5]}
        if damage in data:
            path.write_bytes(data[damage])
        else:
            record(path, seconds=0.02)
    message = failing(root)
    reasons = {"empty": "ends too early", "no wav": "Format not recognised", "cut off": "15997 of 16000"}
    for path in paths:
        assert f"{path}: cannot be read: " in message
    assert message.count(reasons.get(damage, "320 samples at 16000 a second are shorter than")) == 2
    assert message.count("error:") == 2
    assert not list(root.glob("*.cache"))


def test_many_broken_recordings_are_summed_up(root: Path) -> None:
    for path in root.glob("[!_]*/*.wav"):
        path.write_bytes(b"")
    message = failing(root)
    assert message.count("ends too early") == 5
    assert "19 more recordings cannot be read" in message


def test_unreadable_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.listdir

    def listdir(path: Path) -> list[str]:  # tests may run as root, whom no permission bit stops
        if path == root / "up":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert f"{root / 'up'}: cannot be read: Permission denied" in failing(root)


def test_a_broken_recording_ends_the_command(root: Path, in_process: Any) -> None:
    (root / "up" / "a1_nohash_0.wav").write_bytes(b"")
    ended = in_process("train", "dataset=speech_commands", f"dataset.root={root}", "ways=2")
    assert ended.code == 3
    assert ended.err.startswith("error: ")
    assert "up/a1_nohash_0.wav" in ended.err
    assert not list(Path().rglob("config.yaml"))


# Splits and tasks


@pytest.mark.parametrize(
    ("keywords", "sizes"),
    [(6, (2, 2, 2)), (14, (6, 4, 4)), (15, (5, 5, 5)), (35, (21, 5, 9)), (40, (24, 6, 10)), (100, (60, 15, 25))],
)
def test_sizes_of_the_splits(keywords: int, sizes: tuple[int, ...], tmp_path: Path) -> None:
    for number in range(keywords):
        for speaker in ("a", "b"):
            record(tmp_path / f"word{number:03}" / f"{speaker}_1.wav", seconds=0.1)
    found = pools(load_speech_commands(tmp_path, split_seed=1, augment=False))
    assert tuple(pool.classes for pool in found.values()) == sizes
    names = [name for pool in found.values() for name in pool.names]
    assert sorted(names) == [f"word{number:03}" for number in range(keywords)]


def test_the_split_is_a_permutation_of_its_seed(root: Path) -> None:
    by_seed = [
        [pool.names for pool in pools(load_speech_commands(root, split_seed=seed)).values()] for seed in range(4)
    ]
    assert len({tuple(names[2]) for names in by_seed}) > 1
    order = torch.randperm(8, generator=seeded_generator(3, "speech_commands", "split")).tolist()
    assert by_seed[3][2] == sorted(KEYWORDS[i] for i in order[6:])


def test_query_recordings_are_by_other_speakers(root: Path) -> None:
    for keyword in KEYWORDS:
        for speaker in SPEAKERS:
            record(root / keyword / f"{speaker}_nohash_1.wav")
    shape = TaskShape(ways=2, shots=2, queries=2)
    shared = {}
    for speakers in ("distinct", "any"):
        pool = pools(load_speech_commands(root, speakers=speakers))["meta_train"]  # type: ignore[arg-type]
        chosen = torch.arange(4).expand(50, 4)
        support, query = pool.sample_examples(chosen, shape.shots, shape.queries, torch.Generator().manual_seed(0))
        assert (pool.sources is None) == (speakers == "any")
        # By name: 0000c3_0, 0000c3_1, a1_0, a1_1, b2_0, b2_1.
        shared[speakers] = int((support.unsqueeze(-1) // 2 == query.unsqueeze(-2) // 2).sum())
    assert shared["distinct"] == 0
    assert shared["any"] > 50
    sources = pools(load_speech_commands(root))["meta_test"].sources
    assert sources is not None
    assert sources.tolist() == [[0, 0, 1, 1, 2, 2]] * 2


def test_a_name_without_a_speaker_stands_for_one(root: Path) -> None:
    (root / "up" / "b2_nohash_0.wav").rename(root / "up" / "mine.wav")
    assert " by 4 speakers" in load_speech_commands(root).description


def test_recordings_of_a_keyword_are_limited_by_name(root: Path) -> None:
    record(root / "up" / "a1_nohash_1.wav")
    everything = load_speech_commands(root, examples=None)
    assert " 3 to 4 recordings" in everything.description
    for pool in pools(everything).values():
        assert pool.counts is not None
        assert pool.counts.tolist() == [4 if name == "up" else 3 for name in pool.names]
    limited = load_speech_commands(root, examples=3)
    assert all(pool.counts is None for pool in pools(limited).values())
    before = {name: recording(everything, name) for name in KEYWORDS}
    (root / "up" / "b2_nohash_0.wav").unlink()  # the fourth by name
    assert same(limited, load_speech_commands(root, examples=3))
    assert all(before[name].shape == recording(limited, name).shape for name in KEYWORDS)


def test_settings_of_the_yaml_file_are_the_defaults(root: Path) -> None:
    path = CONFIGS / "dataset" / "speech_commands.yaml"
    if not path.exists():
        pytest.skip("the YAML files are in the repository")
    values = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(values, dict)

    def settings(**changes: Any) -> tuple[Any, list[Problem]]:
        problems: list[Problem] = []
        return typed(SpeechCommandsSettings, values | changes, "dataset.", problems), problems  # type: ignore[operator]

    given, problems = settings(root=str(root))
    assert problems == []
    assert same(given.load(), load_speech_commands(root))
    other = {
        "split_seed": 1,
        "speakers": "any",
        "examples": 2,
        "augment": False,
        "mels": 20,
        "hop_ms": 10,
        "seconds": 0.5,
    }
    given, problems = settings(root=str(root), **other)
    assert problems == []
    changed = load_speech_commands(root, 1, "any", 2, False, FrameSettings(20, 10, 0.5))
    assert same(given.load(), changed)
    assert (changed.steps, changed.features) == (48, 20)
    for name, value in (("speakers", "some"), ("examples", 1), ("mels", 81), ("hop_ms", 26), ("seconds", 0.05)):
        _, problems = settings(**{name: value})
        assert problems[0].what.startswith(f"dataset.{name}={value}, but it must be")


# Frames


def test_recordings_become_the_frames_of_their_files(root: Path) -> None:
    dataset = load_speech_commands(root)
    train = pools(dataset)["meta_train"].names
    clips = {path: read_clip(path.read_bytes(), 1.0) for path in root.glob("[!_]*/*.wav")}
    known = torch.cat([log_mel(clip, 40, 20) for path, clip in clips.items() if path.parent.name in train])
    for path, clip in clips.items():
        number = sorted(os.listdir(path.parent)).index(path.name)
        expected = (log_mel(clip, 40, 20) - known.mean(dim=0)) / known.std(dim=0, correction=0)
        assert (recording(dataset, path.parent.name, number) - expected).abs().max() < 1e-4
    assert len({float(recording(dataset, name, number).sum()) for name in KEYWORDS for number in range(3)}) == 24


def test_meta_train_alone_decides_mean_and_deviation(root: Path) -> None:
    before = pools(load_speech_commands(root))
    frames = before["meta_train"].examples.flatten(0, 2)
    assert frames.mean(dim=0).abs().max() < 1e-5
    assert (frames.std(dim=0, correction=0) - 1).abs().max() < 1e-5
    assert before["meta_test"].examples.flatten(0, 2).mean(dim=0).abs().max() > 0.01
    for split in ("meta_test", "meta_validation"):
        for keyword in before[split].names:
            for speaker in SPEAKERS:
                record(root / keyword / f"{speaker}_nohash_0.wav", sound=f"{keyword} by {speaker}, another time")
    after = pools(load_speech_commands(root))
    assert torch.equal(before["meta_train"].examples, after["meta_train"].examples)
    assert not torch.equal(before["meta_test"].examples, after["meta_test"].examples)
    record(root / before["meta_train"].names[0] / "a1_nohash_0.wav", sound="another")
    last = pools(load_speech_commands(root))
    assert not torch.equal(after["meta_test"].examples, last["meta_test"].examples)


def test_a_silent_band_is_not_blown_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = log_mel

    def deaf(clip: Clip, mels: int, hop_ms: int) -> torch.Tensor:
        frames = real(clip, mels, hop_ms)
        frames[:, 0] = -23.0
        return frames

    monkeypatch.setattr(speech_features, "log_mel", deaf)
    examples = pools(load_speech_commands(root))["meta_train"].examples
    assert examples.isfinite().all()
    assert examples[..., 0].abs().max() < 1e-5


def test_short_recordings_keep_their_length(root: Path) -> None:
    whole = load_speech_commands(root, augment=False)
    assert all(pool.lengths is None for pool in pools(whole).values())
    names = pools(whole)["meta_train"].names
    record(root / names[1] / "a1_nohash_0.wav", seconds=0.5)
    record(root / names[2] / "a1_nohash_0.wav", seconds=3)  # of which one is read
    dataset = load_speech_commands(root, augment=False)
    train = pools(dataset)["meta_train"]
    assert pools(dataset)["meta_test"].lengths is None
    assert train.lengths is not None
    assert train.lengths.tolist() == [[49, 24 if name == names[1] else 49, 49] for name in names]
    assert (train.examples[1, 1, 24:] == 0).all()
    assert (train.examples[1, 1, 23] != 0).all()
    known = torch.cat([train.examples[i, j, : train.lengths[i, j]] for i in range(4) for j in range(3)])
    assert known.mean(dim=0).abs().max() < 1e-5  # padding is not among the frames that decide
    batch = TaskSampler(train, TaskShape(4, 1, 2), 3, 0, "meta_train")(0)
    assert batch.support.lengths is not None
    assert {24, 49} == set(batch.merged().lengths.flatten().tolist())  # type: ignore[union-attr]


def test_steps_are_those_of_the_longest_recording(root: Path) -> None:
    dataset = load_speech_commands(root, frames=FrameSettings(seconds=2.0))
    assert dataset.steps == 49
    assert pools(dataset)["meta_train"].lengths is None


# The fingerprint and the cache


def test_fingerprint_is_that_of_files_and_settings(root: Path, tmp_path: Path) -> None:
    settings: list[dict[str, Any]] = [
        {},
        {"split_seed": 1},
        {"speakers": "any"},
        {"examples": 2},
        *(
            {"frames": frames}
            for frames in (FrameSettings(mels=39), FrameSettings(hop_ms=19), FrameSettings(seconds=2))
        ),
    ]
    prints = [load_speech_commands(root, **setting).fingerprint for setting in settings]
    shutil.copytree(root, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("*.cache"), copy_function=shutil.copy)
    os.utime(tmp_path / "elsewhere" / "up" / "a1_nohash_0.wav", ns=(1, 1))
    assert [load_speech_commands(tmp_path / "elsewhere", **setting).fingerprint for setting in settings] == prints
    path = root / "up" / "a1_nohash_0.wav"
    path.rename(path.with_name("a2_nohash_0.wav"))  # as it is in order, no other recording moves
    prints.append(load_speech_commands(root).fingerprint)
    path.with_name("a2_nohash_0.wav").rename(path)
    data = bytearray(path.read_bytes())
    data[-2] ^= 1  # in the last samples, which are in no frame
    path.write_bytes(data)
    prints.append(load_speech_commands(root).fingerprint)
    (root / "up").rename(root / "upper")
    prints.append(load_speech_commands(root).fingerprint)
    assert len(set(prints)) == len(prints)


def count_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []

    def counted(data: bytes, seconds: float, real: Callable[..., Clip] = read_clip) -> Clip:
        sizes.append(len(data))
        return real(data, seconds)

    monkeypatch.setattr(speech_features, "read_clip", counted)
    return sizes


def test_second_start_decodes_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = count_read(monkeypatch)
    first = load_speech_commands(root)
    assert len(read) == 24
    assert same(first, load_speech_commands(root))
    load_speech_commands(root, split_seed=3, speakers="any")
    assert len(read) == 24
    load_speech_commands(root, frames=FrameSettings(mels=20))
    load_speech_commands(root, frames=FrameSettings(seconds=0.5))
    assert len(read) == 72


def test_damaged_cache_is_decoded_again(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = load_speech_commands(root)
    (file,) = root.glob("*.cache")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    read = count_read(monkeypatch)
    assert same(first, load_speech_commands(root))
    assert len(read) == 24
    assert "decoding again" in caplog.text


def test_cache_of_another_shape_is_decoded_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_speech_commands(root)
    read = count_read(monkeypatch)
    real = speech_features.cached
    short = {"values": torch.zeros(8, 3, 49, 39), "lengths": torch.full((8, 3), 49), "fingerprint": "0"}
    short |= {"rate": 16000, "said": "", "warnings": []}
    for content in (short, short | {"lengths": torch.zeros(8, 2)}, {"values": torch.zeros(8, 3, 49, 40)}):
        fitted: list[bool] = []

        def judged(fits: Any, content: Any = content, fitted: list[bool] = fitted, **given: Any) -> Any:
            fitted.append(fits(content))
            return real(fits=fits, **given)

        monkeypatch.setattr(speech_features, "cached", judged)
        assert same(first, load_speech_commands(root))
        assert fitted == [False]
    assert read == []


def test_changed_recordings_are_decoded_again(root: Path) -> None:
    first = load_speech_commands(root)
    record(root / "up" / "a1_nohash_0.wav", sound="changed")
    second = load_speech_commands(root)
    assert not same(first, second)
    assert same(second, load_speech_commands(root))


def test_write_protected_data_is_cached_in_the_users_folder(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.chmod(0o555)
    before = sorted(os.listdir(root))
    first = load_speech_commands(root)
    read = count_read(monkeypatch)
    assert same(first, load_speech_commands(root))
    assert read == []
    assert sorted(os.listdir(root)) == before
    assert len(list((tmp_path / "xdg-cache" / "metalstm").glob("speech_commands-40x20ms-*.cache"))) == 1


# The real data


def test_real_recordings() -> None:
    dataset = load_speech_commands(shared_data("speech_commands"), augment=False)
    found = pools(dataset)
    assert [tuple(pool.examples.shape) for pool in found.values()] == [(n, 20, 49, 40) for n in (24, 6, 10)]
    assert dataset.description.startswith("24 / 6 / 10 keywords of 20 recordings by 20 speakers; 49 frames of 40")
    names = [name for pool in found.values() for name in pool.names]
    assert len(set(names)) == 40
    assert {"zoom in", "zoom out", "backward", "zero"} <= set(names)
    frames = found["meta_train"].examples.flatten(0, 2)
    assert frames.mean(dim=0).abs().max() < 1e-5
    assert (frames.std(dim=0) - 1).abs().max() < 1e-4
    for split, pool in found.items():
        assert pool.counts is None
        assert pool.lengths is None
        assert pool.sources is not None
        assert pool.sources.tolist() == [list(range(20))] * pool.classes
        assert pool.examples.isfinite().all()
        assert pool.examples.std(dim=(2, 3)).min() > 0.1  # no recording is silent
        for shots in (1, 5):
            batch = TaskSampler(pool, TaskShape(5, shots, 15), 2, 0, split)(0)
            assert batch.support.inputs.shape == (2, 5 * shots, 49, 40)
            assert batch.query.inputs.shape == (2, 75, 49, 40)
            assert batch.query.lengths is None


@pytest.mark.parametrize("augment", [True, False])
def test_only_meta_train_is_distorted(augment: bool, root: Path) -> None:
    dataset = load_speech_commands(root, augment=augment)
    for split, pool in pools(dataset).items():
        drawn = pool.sample(2, TaskShape(2, 1, 1), seeded_generator(0)).support.inputs
        known = pool.examples.flatten(0, 1)
        kept = all((row == known).flatten(1).all(dim=1).any() for row in drawn.flatten(0, 1))
        assert kept == (split != "meta_train" or not augment)
    train = pools(dataset)["meta_train"]
    assert train.classes == (8 if augment else 4)
    assert train.names[4:] == [f"{name}, backwards" for name in train.names[:4]] * augment
    assert dataset.fingerprint != load_speech_commands(root, augment=not augment).fingerprint
