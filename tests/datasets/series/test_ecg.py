"""Beats of ECG records: from WFDB files, whole or broken, to tasks; small records made here, and real ones."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wfdb
from omegaconf import OmegaConf

from metalstm.config.extras import install
from metalstm.config.fields import typed
from metalstm.datasets.base import Dataset
from metalstm.datasets.series.ecg import BeatSettings, EcgSettings, cut_beats, load_ecg
from metalstm.datasets.series.ecg_files import Record, read_record
from metalstm.errors import ConfigError, Problem
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.sampler import TaskSampler, TaskShape
from support.commands import tiny
from support.datasets import pools, refusal, same
from support.places import CONFIGS, shared_data

RATE = 360
RECORDS = ["100", "105", "106", "201", "202", "203", "210"]
SMALL = BeatSettings(min_beats=5)


def write(folder: Path, name: str, symbols: str, leads: int = 1, seed: int | None = None) -> None:
    """A record with a beat every half second, the first at 0.5 s: a narrow peak, of a PVC a broad one, and noise."""
    random = np.random.default_rng(int(name) if seed is None else seed)
    samples = random.normal(0, 0.02, (RATE * (len(symbols) + 1) // 2, leads))
    samples += np.sin(np.arange(len(samples)) / RATE)[:, None]  # the baseline wanders
    peaks = (np.arange(len(symbols)) + 1) * RATE // 2
    for peak, symbol in zip(peaks, symbols, strict=True):
        width = 0.06 if symbol == "V" else 0.02
        samples[:, 0] += random.uniform(0.8, 1.2) * np.exp(-(((np.arange(len(samples)) - peak) / RATE / width) ** 2))
    folder.mkdir(parents=True, exist_ok=True)
    given = {"write_dir": str(folder)}
    names = [f"lead{n}" for n in range(leads)]
    wfdb.wrsamp(name, RATE, ["mV"] * leads, names, samples, fmt=["16"] * leads, **given)
    wfdb.wrann(name, "atr", peaks, list(symbols), **given)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven records of six patients with 8 PVCs and 24 other beats; one of 4 PVCs, which is too few."""
    folder = tmp_path_factory.mktemp("mitdb")
    for name in RECORDS:
        write(folder, name, "NNVN" * 8)
    write(folder, "300", "NNNNNVNN" * 4)
    return folder


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """A copy of the records, to be changed."""
    return shutil.copytree(made, tmp_path / "mitdb")


def load(root: Path | None, split_seed: int = 0, **settings: Any) -> Dataset:
    return load_ecg(root, split_seed, SMALL._replace(**settings))


def records_of(pool: ClassDataset) -> list[str]:
    return [name.partition("/")[0] for name in pool.names[::2]]


failing = partial(refusal, load)


# Patients and their tasks


def test_patients_are_in_one_split(root: Path) -> None:
    dataset = load(root)
    found = pools(dataset)
    assert (dataset.name, dataset.kind, dataset.steps, dataset.features, dataset.images) == (
        *("ecg", "classification", 62, 1, False),
    )
    assert sorted(name for pool in found.values() for name in records_of(pool)) == RECORDS
    for pool in found.values():
        assert pool.together == 2
        assert pool.names == [f"{name}/{kind}" for name in records_of(pool) for kind in ("other", "PVC")]
    assert dataset.description.startswith("ecg: 7 of 8 records have 5 or more beats of both kinds: ")
    held = set()
    for seed in range(8):
        splits = [set(records_of(pool)) for pool in pools(load(root, split_seed=seed)).values()]
        assert sum(map(len, splits)) == 7
        assert any({"201", "202"} <= names for names in splits)  # the same patient
        held.add(frozenset(splits[2]))
    assert len(held) > 4


def test_a_task_is_one_patient_and_label_1_its_pvcs(root: Path) -> None:
    """A PVC made here is broad, so that its samples differ less from one to the next for their spread."""
    pool = pools(load(root))["meta_train"]
    batch = TaskSampler(pool, TaskShape(2, 2, 3), 50, 0, "meta_train")(0)
    assert batch.classes is not None
    assert (batch.classes[:, 0] % 2 == 0).all()
    assert (batch.classes[:, 1] == batch.classes[:, 0] + 1).all()
    for examples in (batch.support, batch.query):
        beats = examples.inputs.squeeze(-1)
        broad = beats.std(dim=-1) / beats.diff(dim=-1).std(dim=-1)
        assert ((broad > broad.median()) == (examples.targets == 1)).float().mean() > 0.99
        assert examples.targets.float().mean() == 0.5


# Beats


def record(symbols: str = "", peaks: Any = (), seconds: float = 4.0, rate: float = RATE) -> Record:
    """A record that rises by 1 mV a second."""
    signal = np.arange(round(seconds * rate)) / rate
    return Record(signal, rate, np.array(peaks, dtype=np.int64), np.array([s == "V" for s in symbols], dtype=bool))


@pytest.mark.parametrize("rate", [90, 120, 360, 500])
@pytest.mark.parametrize("of", [360.0, 250.0, 128.0])
def test_beats_are_around_their_peaks_at_any_rate(rate: int, of: float) -> None:
    given = record("NVN", [round(of), round(1.5 * of), round(2 * of)], rate=of)
    for symbol_peak, width in ((0, 0.02), (1, 0.05), (2, 0.02)):
        given.signal[:] += np.exp(-(((np.arange(len(given.signal)) - given.peaks[symbol_peak]) / of / width) ** 2)) * 9
    settings = BeatSettings(rate=rate, before=0.2, after=0.4)
    other, pvc = cut_beats(given, settings)
    assert (other.shape, pvc.shape) == ((2, settings.steps), (1, settings.steps))
    assert settings.steps == round(0.6 * rate)
    peak = round(0.2 * rate)
    for beat in torch.cat([other, pvc]):
        assert abs(int(beat.argmax()) - peak) <= 1
        assert abs(float(beat.mean())) < 1e-5
    torch.testing.assert_close(other[0], other[1], atol=0.3, rtol=0)
    assert (pvc[0] > 3).sum() > (other[0] > 3).sum()


def test_beats_near_the_ends_are_left_out() -> None:
    settings = BeatSettings(rate=90, before=0.5, after=1.0)
    edge = round(0.5 * RATE)
    last = 3 * RATE
    peaks = [edge - 4, edge, last, last + 4]
    for which, kept in ((peaks, 2), (peaks[1:3], 2), (peaks[:1], 0), (peaks[3:], 0)):
        assert [len(of_kind) for of_kind in cut_beats(record("N" * len(which), which), settings)] == [kept, 0]


def test_beats_with_missing_samples_are_left_out() -> None:
    given = record("NNN", [RATE, 2 * RATE, 3 * RATE])
    given.signal[2 * RATE + 20] = np.nan
    other, _ = cut_beats(given, SMALL)
    assert len(other) == 2
    assert other.isfinite().all()
    given.signal[:] = np.nan
    assert [len(of_kind) for of_kind in cut_beats(given, SMALL)] == [0, 0]


def test_every_beat_annotation_counts_and_no_other(tmp_path: Path) -> None:
    beats, others = "NLRBAaJSVrFejnE/fQ?", '[!]x()ptu^|~+sT*D="@'
    write(tmp_path, "100", beats + others)
    found = read_record(tmp_path / "100", 0)
    assert found.peaks.tolist() == [(n + 1) * RATE // 2 for n in range(len(beats))]
    assert [beats[n] for n in np.flatnonzero(found.pvc)] == ["V", "r"]
    assert len(found.signal) == RATE * (len(beats + others) + 1) // 2


def test_at_most_so_many_beats_of_a_kind_by_seed(root: Path) -> None:
    whole, few = pools(load(root)), pools(load(root, max_beats=6))
    for name, pool in whole.items():
        assert pool.counts is not None
        assert pool.counts.unique().tolist() in ([8, 23], [8, 24])
        assert few[name].counts.tolist() == [6] * pool.classes  # type: ignore[union-attr]
        assert few[name].examples.shape[1] == 6
    kept, other_seed = (
        {
            n: pool.examples[i]
            for pool in pools(load(root, seed, max_beats=6)).values()
            for i, n in enumerate(pool.names)
        }
        for seed in (0, 1)
    )
    assert any(not torch.allclose(beats, other_seed[name], atol=1e-2) for name, beats in kept.items())
    with pytest.raises(ConfigError, match=r"max_beats=4 is less than dataset.min_beats=5"):
        load(root, max_beats=4)


def test_another_lead(root: Path, tmp_path: Path) -> None:
    for name in RECORDS[:3]:
        write(tmp_path / "two", name, "NNVN" * 8, leads=2)
    first, second = (pools(load(tmp_path / "two", lead=lead))["meta_train"].examples for lead in (0, 1))
    assert first.std() > 0.5
    assert not torch.allclose(first, second, atol=0.5)
    with pytest.raises(ConfigError, match=r"lead=1, but record .*100 has 1 leads"):
        load(root, lead=1)


def test_scaled_by_meta_train_alone(root: Path) -> None:
    dataset = load(root)
    train = pools(dataset)["meta_train"]
    assert train.counts is not None
    real = torch.arange(train.examples.shape[1]) < train.counts.unsqueeze(1)
    assert float(train.examples[real].std()) == pytest.approx(1, abs=1e-4)
    for split in ("meta_validation", "meta_test"):
        write(root, records_of(pools(dataset)[split])[0], "VNVN" * 8, seed=7)
        after = load(root)
        assert torch.equal(pools(after)["meta_train"].examples, train.examples)
        assert pools(after)[split].examples.shape != pools(dataset)[split].examples.shape or not torch.equal(
            pools(after)[split].examples, pools(dataset)[split].examples
        )
        assert after.fingerprint != dataset.fingerprint
        dataset = after


# Where the records are, and fingerprints


def test_itself_or_one_folder_deep(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load(root)
    shutil.copytree(root, tmp_path / "outer" / "mit-bih-arrhythmia-database-1.0.0")
    (tmp_path / "outer" / "empty").mkdir()
    assert same(load(tmp_path / "outer"), dataset)
    shutil.copytree(root, tmp_path / "outer" / "again")
    assert "records in 2 folders: again, mit-bih" in failing(tmp_path / "outer")
    (root / "x_mitdb").mkdir()
    shutil.copy(root / "100.hea", root / "x_mitdb")
    shutil.copy(root / "100.atr", root / "102-0.atr")  # the database has annotations alone
    assert same(load(root), dataset)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert f"{tmp_path / 'xdg' / 'metalstm' / 'ecg'}: no such folder" in failing(None)
    shutil.copytree(root, tmp_path / "xdg" / "metalstm" / "ecg")
    assert same(load(None), dataset)


@pytest.mark.parametrize(
    "setting",
    [
        *({"split_seed": 1}, {"before": 0.3}, {"after": 0.4}, {"rate": 120}, {"min_beats": 6}, {"max_beats": 7}),
    ],
)
def test_the_fingerprint_changes_with_each_setting(setting: dict[str, Any], root: Path) -> None:
    assert load(root, **setting).fingerprint != load(root).fingerprint


def test_the_fingerprint_changes_with_an_annotation(root: Path) -> None:
    before = load(root).fingerprint
    write(root, "105", "NNVN" * 7 + "NNNV")
    assert load(root).fingerprint != before


# What is wrong with the data


def test_missing_and_empty_folder(root: Path, tmp_path: Path) -> None:
    assert f"{tmp_path / 'nowhere'}: no such folder: 0 records found" in failing(tmp_path / "nowhere")
    assert "no such folder" in failing(root / "100.hea")
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path / 'empty'}: no record" in failing(tmp_path / "empty")


@pytest.mark.parametrize("part", [".hea", ".dat", ".atr"])
def test_missing_files_are_named_all_at_once(part: str, root: Path) -> None:
    for name in ("105", "203"):
        (root / f"{name}{part}").unlink()
    message = failing(root)
    assert message.count("error:") == 2
    assert f"{root / '105'}: {part} missing (6 of 8 records are complete)" in message
    assert f"{root / '203'}: {part} missing" in message


def test_unreadable_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def listdir(path: Path) -> list[str]:  # tests may run as root, whom no permission bit stops
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", listdir)
    assert f"{root}: cannot be read: Permission denied" in failing(root)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("105.dat", lambda whole: whole[:1001]),
        ("105.dat", lambda whole: whole[:-2]),
        ("105.dat", lambda whole: b""),
        ("105.dat", lambda whole: whole[:4000] + bytes([whole[4000] ^ 4]) + whole[4001:]),
        ("105.hea", lambda whole: b""),
        ("105.hea", lambda whole: b"\x00\xff" * 40),
        ("105.hea", lambda whole: whole.partition(b"\n")[0]),
        ("105.hea", lambda whole: whole.replace(b"105.dat", b"999.dat")),
        ("105.atr", lambda whole: b""),
        ("105.atr", lambda whole: b"\xff"),
        ("105.atr", lambda whole: whole[:-2]),
    ],
)
def test_broken_record(name: str, damage: Callable[[bytes], bytes], root: Path) -> None:
    path = root / name
    path.write_bytes(damage(path.read_bytes()))
    message = failing(root)
    assert f"error: {root / '105'}" in message
    assert message.count("error:") == 1


def test_too_few_patients(root: Path) -> None:
    message = failing(root, min_beats=9)
    assert "0 patients with 9 or more of both kinds of beats in 8 records" in message
    assert "(beats of the rarer kind: 100: 8, 105: 8, " in message
    for name in ("100", "105", "106", "203"):
        for part in (".hea", ".dat", ".atr"):
            (root / f"{name}{part}").unlink()
    assert "2 patients with 5 or more" in failing(root)  # 201 and 202 are one


def test_without_wfdb(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wfdb", None)
    with pytest.raises(ConfigError) as error:
        load(root)
    assert "dataset=ecg reads records with the package wfdb" in str(error.value)
    assert f"fix: {install('ecg')}" in str(error.value)


def test_from_the_command_line(root: Path, in_process: Any) -> None:
    given = ["dataset=ecg", f"dataset.root={root}", "dataset.min_beats=5"]
    ended = in_process("train", *given, *tiny(ways=3, **{"dataset.classes": None}))
    assert (ended.code, ended.err.count("error:")) == (2, 1)
    assert "ways=3, but a task of dataset 'ecg' has 2 classes" in ended.err
    (root / "106.dat").write_bytes(b"")
    ended = in_process("train", *given, *tiny(ways=2, **{"dataset.classes": None}))
    assert (ended.code, ended.err.count("error:")) == (3, 1)
    assert "Traceback" not in ended.err
    assert list(Path().iterdir()) == []


# Settings, and the real data


def test_settings_of_the_yaml_file_are_the_defaults(root: Path) -> None:
    values = OmegaConf.to_container(OmegaConf.load(CONFIGS / "dataset" / "ecg.yaml"))
    assert isinstance(values, dict)
    assert BeatSettings()._asdict().items() <= values.items()
    values |= {"root": str(root), "min_beats": 5}
    problems: list[Problem] = []
    given = typed(EcgSettings, values, "dataset.", problems)  # type: ignore[arg-type]
    assert problems == []
    assert same(given.load(), load_ecg(root, settings=SMALL))


def test_real_records() -> None:
    dataset = load_ecg(shared_data("ecg"))
    found = pools(dataset)
    assert [pool.classes // 2 for pool in found.values()] == [4, 1, 2]
    used = sorted(name for pool in found.values() for name in records_of(pool))
    assert used == ["105", "106", "108", "114", "116", "119", "200"]
    assert dataset.description.startswith("ecg: 7 of 12 records have 16 or more beats of both kinds: ")
    for pool in found.values():
        assert pool.counts is not None
        assert pool.counts[::2].tolist() == [200] * (pool.classes // 2)
        assert all(17 <= int(count) <= 200 for count in pool.counts[1::2])
        assert pool.examples.isfinite().all()
        assert pool.examples.shape[2:] == (62, 1)
    train = found["meta_train"]
    assert train.examples.std() > 0.5
