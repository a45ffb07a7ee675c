"""Spoken keywords: Google's Speech Commands (Warden 2018), Arabic ones (Ghandoura et al. 2021), or a user's own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from metalstm.config.fields import bounded, one_of
from metalstm.datasets.audio.speech_augment import distorted, played_backwards
from metalstm.datasets.audio.speech_features import FrameSettings, read_frames, recording_reader
from metalstm.datasets.audio.speech_files import Keywords, find_keywords
from metalstm.datasets.base import Dataset, FolderOfData
from metalstm.datasets.files.reader import Scale, scale_of
from metalstm.datasets.splits import Shares, split_randomly
from metalstm.errors import DataError, Problem, first_few
from metalstm.files.paths import dataset_root
from metalstm.registry import register
from metalstm.tasks.classes import SPLITS, ClassDataset

FEWEST_KEYWORDS = 6  # two in each split: telling keywords apart takes two
LEAST = 5  # of a split, where there are enough
FRAMES = FrameSettings()
FLAT = 1e-3  # a band with a smaller standard deviation is not scaled: there is nothing in it but rounding


def load_speech_commands(
    root: Path | None,
    split_seed: int = 0,
    speakers: Literal["distinct", "any"] = "distinct",
    examples: int | None = 200,
    augment: bool = True,
    frames: FrameSettings = FRAMES,
) -> Dataset:
    """Keywords as sequences of log-mel frames, the keywords dealt out to the splits by a permutation.

    The splits share no keyword, but they do share speakers.

    Every band is shifted and scaled by the mean and standard deviation that it has over all frames of the meta-train
    keywords; the other splits are shifted and scaled by the same numbers. A recording that is shorter than others
    keeps its length: the frames after its end are zeros and not read.

    Args:
        root: the folder with the keywords' folders, itself or in `dataset/`; None: the user's own.
        split_seed: which permutation of the keywords the split is made from.
        speakers: `distinct`: the query recordings of a keyword are by others than its support recordings.
        examples: recordings of a keyword that are used, the first by name; None: all.
        augment: whether meta-train has its keywords backwards too, and distorts recordings anew when they are drawn.
        frames: how a recording becomes frames.

    Raises:
        DataError: the data is missing or broken, has too few keywords, or a keyword has too few speakers.
    """
    if speakers not in ("distinct", "any"):
        raise ValueError(f"speakers={speakers!r}: neither 'distinct' nor 'any'")
    folder = dataset_root(root, "speech_commands")
    keywords = find_keywords(folder, examples)
    _check_enough(folder, keywords, speakers == "distinct")
    content = read_frames(folder, keywords, frames)
    shares = Shares(0.15, 0.25, min(LEAST, len(keywords) // len(SPLITS)), round)
    members = split_randomly(range(len(keywords)), shares, split_seed, "speech_commands")
    split = {name: torch.tensor(which) for name, which in members.items()}
    scale = scale_over(content["values"], content["lengths"], split["meta_train"])
    values = scaled(content["values"], content["lengths"], scale)
    sources = _sources(keywords) if speakers == "distinct" else None
    pools = {name: _pool(keywords, values, content["lengths"], sources, which) for name, which in split.items()}
    description = _description(pools, keywords, values, speakers)
    if augment:
        pools["meta_train"] = more_of(pools["meta_train"])
        description += "; meta_train distorted, and backwards as further keywords"
    setting = json.dumps([content["fingerprint"], split_seed, speakers, augment])
    return Dataset(
        name="speech_commands",
        splits=pools,
        steps=values.shape[2],
        features=frames.mels,
        fingerprint=hashlib.sha256(setting.encode()).hexdigest(),
        description=description,
        details=(content["said"],) if content["said"] else (),
        reader=recording_reader(frames, content["rate"], scale),
    )


def _check_enough(folder: Path, keywords: Keywords, distinct: bool) -> None:
    """Raise DataError: too few keywords to split, or a single speaker where support and query need two."""
    problems = []
    if len(keywords) < FEWEST_KEYWORDS:
        problems.append(
            Problem(
                f"{folder}: {len(keywords)} keywords found, but the splits need {FEWEST_KEYWORDS}, two in each",
                "add folders of further keywords, or name another folder with dataset.root",
            )
        )
    alone = [
        Problem(
            f"keyword '{name}' has one speaker in {len(recordings)} recordings, but support and query need two",
            "add recordings by others (<speaker>_*), raise dataset.examples, or use dataset.speakers=any",
        )
        for name, recordings in keywords.items()
        if distinct and len({recording.speaker for recording in recordings}) < 2
    ]
    problems += first_few(alone, "keywords have one speaker")
    if problems:
        raise DataError(*problems)


def scale_over(values: Tensor, lengths: Tensor, train: Tensor) -> Scale:
    """Return what gives each band of the keywords `train` (indices) mean 0 and standard deviation 1.

    Args:
        values: log-mel frames [C, E, S, F].
        lengths: [C, E], how many steps are real.
        train: indices of keywords, which alone decide the mean and the standard deviation.
    """
    return scale_of(values[train][real_steps(values, lengths)[train]], FLAT)


def scaled(values: Tensor, lengths: Tensor, scale: Scale) -> Tensor:
    """Values [C, E, S, F] scaled, 0 where padded."""
    return scale(values).masked_fill(~real_steps(values, lengths).unsqueeze(-1), 0)


def real_steps(values: Tensor, lengths: Tensor) -> Tensor:
    """[C, E, S] bool."""
    return torch.arange(values.shape[2]) < lengths.unsqueeze(-1)


def _sources(keywords: Keywords) -> Tensor:
    """[C, E] int64: the number of the speaker of each recording, the same in all keywords."""
    speakers = [[recording.speaker for recording in recordings] for recordings in keywords.values()]
    number = {name: i for i, name in enumerate(sorted({name for row in speakers for name in row}))}
    return pad_sequence([torch.tensor([number[name] for name in row]) for row in speakers], batch_first=True)


def _pool(keywords: Keywords, values: Tensor, lengths: Tensor, sources: Tensor | None, which: Tensor) -> ClassDataset:
    """Return the chosen keywords; counts and lengths only where they differ."""
    names = [list(keywords)[i] for i in which.tolist()]
    counts = torch.tensor([len(keywords[name]) for name in names])
    there = lengths[which]
    return ClassDataset(
        values[which],
        names,
        counts=counts if (counts < values.shape[1]).any() else None,
        lengths=there if (there[there > 0] < values.shape[2]).any() else None,
        sources=None if sources is None else sources[which],
    )


def more_of(pool: ClassDataset) -> ClassDataset:
    """Return the same keywords and as many more, played backwards; all are distorted anew in each draw."""

    def twice(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.repeat(2, 1) if tensor.dim() == 2 else tensor.repeat(2)

    return ClassDataset(
        torch.cat((pool.examples, played_backwards(pool.examples, pool.lengths))),
        [*pool.names, *(f"{name}, backwards" for name in pool.names)],
        counts=twice(pool.counts),
        lengths=twice(pool.lengths),
        sources=twice(pool.sources),
        augment=distorted,
    )


def _description(pools: dict[str, ClassDataset], keywords: Keywords, values: Tensor, speakers: str) -> str:
    sizes = " / ".join(str(pool.classes) for pool in pools.values())
    counts = sorted({len(recordings) for recordings in keywords.values()})
    each = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    people = len({recording.speaker for recordings in keywords.values() for recording in recordings})
    who = "different speakers" if speakers == "distinct" else "any speakers"
    return (
        f"{sizes} keywords of {each} recordings by {people} speakers; {values.shape[2]} frames of {values.shape[3]} "
        f"log-mel bands, mean 0 and standard deviation 1 over meta_train; support and query by {who}"
    )


@register("dataset", "speech_commands")
@dataclass(kw_only=True)
class SpeechCommandsSettings(FolderOfData):
    """The settings of Speech Commands."""

    searched: ClassVar[frozenset[str]] = frozenset(("augment", *FrameSettings._fields))

    split_seed: int = bounded(minimum=0, below=2**32)
    speakers: str = one_of("distinct", "any")
    augment: bool
    examples: int | None = bounded(minimum=2)
    mels: int = bounded(minimum=8, maximum=80)  # narrower bands would fall between two frequencies of a frame
    hop_ms: int = bounded(minimum=5, maximum=25)  # larger ones would skip sound
    seconds: float = bounded(minimum=0.1, maximum=10)

    def load(self) -> Dataset:
        return load_speech_commands(
            self.folder,
            self.split_seed,
            self.speakers,  # type: ignore[arg-type]
            self.examples,
            self.augment,
            self.some(FrameSettings),
        )
