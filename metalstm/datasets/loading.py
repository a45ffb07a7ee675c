"""From a dataset's settings to the dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from metalstm.datasets.audio.speech_commands import load_speech_commands
from metalstm.datasets.audio.speech_features import FrameSettings
from metalstm.datasets.base import Dataset
from metalstm.datasets.images.cifar_fs import load_cifar_fs
from metalstm.datasets.images.glyphs import load_glyphs
from metalstm.datasets.images.omniglot import load_omniglot
from metalstm.datasets.own.folder import load_folder
from metalstm.datasets.own.folder_readers import FolderSettings
from metalstm.datasets.own.folder_splits import SplitSettings
from metalstm.datasets.own.tables import TableSettings
from metalstm.datasets.series.ecg import BeatSettings, load_ecg
from metalstm.datasets.series.pendulum import load_pendulum
from metalstm.datasets.series.sinusoid import load_sinusoid
from metalstm.datasets.series.terrain import load_terrain
from metalstm.datasets.text.clinc150 import load_clinc150
from metalstm.datasets.text.movietweetings import load_movietweetings
from metalstm.datasets.text.tokens import TokenSettings


def folder(settings: Any) -> Path | None:
    """Where a dataset's files are; None: where its loader looks by itself."""
    return None if settings.root is None else Path(settings.root)


def frames(settings: Any) -> FrameSettings:
    return FrameSettings(settings.mels, settings.hop_ms, settings.seconds)


def tokens(settings: Any) -> TokenSettings:
    given = {name: getattr(settings, name) for name in TokenSettings._fields if hasattr(settings, name)}
    return TokenSettings(**given)


def of(kind: Any, settings: Any) -> Any:
    """The settings of one kind, by the names of its fields."""
    return kind(**{name: getattr(settings, name) for name in kind._fields})


# From the settings of a dataset, by its name.
LOADERS: dict[str, Callable[[Any], Dataset]] = {
    "cifar_fs": lambda given: load_cifar_fs(folder(given), given.download),
    "clinc150": lambda given: load_clinc150(folder(given), given.split_seed, tokens(given)),
    "ecg": lambda given: load_ecg(folder(given), given.split_seed, of(BeatSettings, given)),
    "folder": lambda given: load_folder(
        Path(given.root), of(SplitSettings, given), of(FolderSettings, given), tokens(given), of(TableSettings, given)
    ),
    "glyphs": lambda given: load_glyphs(given.classes, given.examples, given.seed),
    "movietweetings": lambda given: load_movietweetings(
        folder(given), given.split_seed, given.min_ratings, given.examples, given.crowd, tokens(given)
    ),
    "omniglot": lambda given: load_omniglot(
        folder(given), given.download, given.split, given.split_seed, given.rotations, given.augment, given.mirrored
    ),
    "pendulum": lambda given: load_pendulum(given.window),
    "sinusoid": lambda given: load_sinusoid(given.form, given.window),
    "speech_commands": lambda given: load_speech_commands(
        folder(given), given.split_seed, given.speakers, given.examples, given.augment, of(FrameSettings, given)
    ),
    "terrain": lambda given: load_terrain(folder(given), given.split_seed, given.window, given.horizon, given.stretch),
}


def make_dataset(settings: Any) -> Dataset:
    """The dataset that `dataset.name` says.

    Raises:
        DataError: it is missing, incomplete or broken.
    """
    return LOADERS[settings.name](settings)
