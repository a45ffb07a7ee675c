"""Beats of the MIT-BIH Arrhythmia Database, Moody & Mark 2001: one patient's PVCs told from all other beats."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from metalstm.config.fields import bounded
from metalstm.datasets.base import Dataset, FolderOfData
from metalstm.datasets.series.ecg_files import PARTS, Record, find_records, need_wfdb, read_record
from metalstm.datasets.splits import Shares, split_randomly
from metalstm.errors import ConfigError, DataError
from metalstm.files.paths import dataset_root
from metalstm.registry import register
from metalstm.runtime.progress import counted
from metalstm.tasks.classes import ClassDataset
from metalstm.tasks.sampler import seeded_generator

KINDS = ("other", "PVC")  # a label is the place here
SAME_PATIENT = {"202": "201"}  # two recordings of one patient, says the database's directory of records
FEWEST_PATIENTS = 3  # one for each split
SHARES = Shares(validation=0.15, test=0.25, rounding=round)
FLAT = 1e-6  # mV; beats that vary by less are not scaled


class BeatSettings(NamedTuple):
    """How a record becomes beats."""

    lead: int = 0  # 0 is the first
    before: float = 0.25  # s of a beat before its annotated peak
    after: float = 0.45  # s from the peak on
    rate: int = 90  # samples a second that a beat is resampled to
    min_beats: int = 16  # of each kind that a record needs to be used
    max_beats: int = 200  # of each kind that are used

    @property
    def steps(self) -> int:
        """S, samples of a beat."""
        return round(self.before * self.rate) + round(self.after * self.rate)


DEFAULT = BeatSettings()


def load_ecg(root: Path | None, split_seed: int = 0, settings: BeatSettings = DEFAULT) -> Dataset:
    """Beats as sequences of samples; a task is one patient, 2 classes: the PVCs, and every other beat.

    Records with `min_beats` or more of both kinds are used. Patients are dealt out to the splits by a permutation, so
    that meta-test's are never seen before: of 7 they are 4, 1 and 2. A beat is cut out around its peak, less its own
    mean, so that a wandering baseline says nothing, and divided by the standard deviation that the beats of meta-train
    have. Where a record has more than `max_beats` of a kind, they are a choice seeded by `split_seed`.

    Args:
        root: the folder with the records, itself or one folder deep; None: the user's own.
        split_seed: which permutation of the patients.
        settings: how a record becomes beats.

    Raises:
        DataError: the data is missing, incomplete or broken, or too few records have enough beats.
        ConfigError: there is no such lead, no package wfdb, or fewer beats are used than a record needs.
    """
    need_wfdb()
    if settings.max_beats < settings.min_beats:
        raise ConfigError.of(
            f"dataset.max_beats={settings.max_beats} is less than dataset.min_beats={settings.min_beats}",
            "raise dataset.max_beats, or lower dataset.min_beats",
        )
    folder = dataset_root(root, "ecg")
    paths = find_records(folder)
    digest = hashlib.sha256(json.dumps(["ecg 1", split_seed, settings]).encode())
    records: dict[str, list[Tensor]] = {}  # the beats of each kind, of the records that are used
    fewest = {}  # beats of the rarer kind
    for path in counted(paths, "reading records", len(paths)):
        beats = cut_beats(read_record(path, settings.lead), settings)
        fewest[path.name] = min(map(len, beats))
        if fewest[path.name] >= settings.min_beats:
            records[path.name] = [
                chosen(of_kind, settings.max_beats, seeded_generator(split_seed, "ecg", path.name, kind))
                for kind, of_kind in zip(KINDS, beats, strict=True)
            ]
            for part in PARTS:
                digest.update(repr((path.name, part)).encode() + path.with_name(path.name + part).read_bytes())
    patients = sorted({SAME_PATIENT.get(name, name) for name in records})
    if len(patients) < FEWEST_PATIENTS:
        most = ", ".join(f"{name}: {n}" for name, n in sorted(fewest.items(), key=lambda item: -item[1])[:5])
        raise DataError.of(
            f"{folder}: {len(patients)} patients with {settings.min_beats} or more of both kinds of beats in "
            f"{len(paths)} records, but the splits need {FEWEST_PATIENTS} (beats of the rarer kind: {most})",
            "lower dataset.min_beats, or add records",
        )
    members = split_randomly(patients, SHARES, split_seed, "ecg")
    of_split = {s: [name for name in records if SAME_PATIENT.get(name, name) in held] for s, held in members.items()}
    deviation = torch.cat([of_kind for name in of_split["meta_train"] for of_kind in records[name]]).double().std()
    scale = float(deviation) if deviation > FLAT else 1.0
    pools = {split: _pool({name: records[name] for name in names}, scale) for split, names in of_split.items()}
    listed = " / ".join(" ".join(names) for names in of_split.values())
    return Dataset(
        name="ecg",
        splits=pools,
        steps=settings.steps,
        features=1,
        fingerprint=digest.hexdigest(),
        description=f"ecg: {len(records)} of {len(paths)} records have {settings.min_beats} or more beats of both "
        f"kinds: {listed}; {settings.min_beats} to {settings.max_beats} beats of a kind, {settings.steps} samples at "
        f"{settings.rate} Hz, lead {settings.lead}",
        unit="patient",
    )


def cut_beats(record: Record, settings: BeatSettings) -> list[Tensor]:
    """Return the beats of each of KINDS, [beats, S] float32, mV with mean 0; those too close to an end are left out."""
    from scipy.signal import resample_poly  # wfdb brings it

    ratio = Fraction(settings.rate / record.rate).limit_denominator(1000)
    missing = np.isnan(record.signal)
    signal = resample_poly(np.where(missing, 0, record.signal), ratio.numerator, ratio.denominator)
    gone = np.append(0, missing.cumsum())  # how many samples before each are missing
    peaks = np.rint(record.peaks * float(ratio)).astype(np.int64)
    starts = peaks - round(settings.before * settings.rate)
    whole = (starts >= 0) & (starts + settings.steps <= len(signal))
    first, last = (
        np.clip(np.rint(at / float(ratio)).astype(np.int64), 0, len(missing))
        for at in (starts, starts + settings.steps)
    )
    whole &= gone[last] == gone[first]
    beats = signal[starts[whole, None] + np.arange(settings.steps)]
    beats -= beats.mean(axis=1, keepdims=True)
    pvc = record.pvc[whole]
    return [torch.from_numpy(beats[pvc == kind]).float() for kind in (False, True)]


def chosen(beats: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """At most so many of the beats, in order."""
    return beats[torch.randperm(len(beats), generator=generator)[:most].sort().values]


def _pool(records: dict[str, list[Tensor]], scale: float) -> ClassDataset:
    """Return the two classes of each record, which belong together."""
    classes = [of_kind / scale for kinds in records.values() for of_kind in kinds]
    return ClassDataset(
        pad_sequence(classes, batch_first=True).unsqueeze(-1),
        [f"{name}/{kind}" for name in records for kind in KINDS],
        counts=torch.tensor([len(beats) for beats in classes]),
        together=len(KINDS),
    )


@register("dataset", "ecg")
@dataclass(kw_only=True)
class EcgSettings(FolderOfData):
    """The settings of heart beats."""

    split_seed: int = bounded(minimum=0, below=2**32)
    lead: int = bounded(minimum=0)
    before: float = bounded(minimum=0.05, maximum=2)
    after: float = bounded(minimum=0.05, maximum=2)
    rate: int = bounded(minimum=30, maximum=1000)
    min_beats: int = bounded(minimum=2)
    max_beats: int = bounded(minimum=2)

    def load(self) -> Dataset:
        return load_ecg(self.folder, self.split_seed, self.some(BeatSettings))
