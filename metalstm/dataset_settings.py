"""The typed settings of each dataset: names, types and bounds; `configs/dataset/` has the values."""

from __future__ import annotations

from dataclasses import dataclass

from metalstm.config.fields import bounded, one_of, path


@dataclass(kw_only=True)
class GlyphsSettings:
    name: str
    classes: int = bounded(minimum=12)
    examples: int = bounded(minimum=2)
    seed: int = bounded(minimum=0, below=2**32)


@dataclass(kw_only=True)
class OmniglotSettings:
    name: str
    root: str | None = path()
    download: bool
    split: str = one_of("random", "lake")
    split_seed: int = bounded(minimum=0, below=2**32)
    rotations: str = one_of("meta_train", "all", "none")
    augment: float = bounded(minimum=0, maximum=10)
    mirrored: bool


@dataclass(kw_only=True)
class CifarFSSettings:
    name: str
    root: str | None = path()
    download: bool


@dataclass(kw_only=True)
class MovieTweetingsSettings:
    name: str
    root: str | None = path()
    split_seed: int = bounded(minimum=0, below=2**32)
    min_ratings: int = bounded(minimum=2)
    examples: int | None = bounded(minimum=2)
    crowd: bool
    min_count: int = bounded(minimum=1)
    subwords: bool
    ngram_buckets: int = bounded(minimum=1, maximum=2**20)
    ngrams_per_word: int = bounded(minimum=1, maximum=64)  # every step holds so many
    max_words: int | None = bounded(minimum=1)


@dataclass(kw_only=True)
class SinusoidSettings:
    name: str
    form: str = one_of("points", "curve")
    window: int = bounded(minimum=2, below=22)


@dataclass(kw_only=True)
class PendulumSettings:
    name: str
    window: int = bounded(minimum=1)


@dataclass(kw_only=True)
class Clinc150Settings:
    name: str
    root: str | None = path()
    split_seed: int = bounded(minimum=0, below=2**32)
    min_count: int = bounded(minimum=1)
    subwords: bool
    ngram_buckets: int = bounded(minimum=1, maximum=2**20)
    ngrams_per_word: int = bounded(minimum=1, maximum=64)  # every step holds so many
    max_words: int | None = bounded(minimum=1)


@dataclass(kw_only=True)
class SpeechCommandsSettings:
    name: str
    root: str | None = path()
    split_seed: int = bounded(minimum=0, below=2**32)
    speakers: str = one_of("distinct", "any")
    augment: bool
    examples: int | None = bounded(minimum=2)
    mels: int = bounded(minimum=8, maximum=80)  # narrower bands would fall between two frequencies of a frame
    hop_ms: int = bounded(minimum=5, maximum=25)  # larger ones would skip sound
    seconds: float = bounded(minimum=0.1, maximum=10)


@dataclass(kw_only=True)
class FolderSettings:
    name: str
    root: str = path()
    split_file: str | None
    split_seed: int = bounded(minimum=0, below=2**32)
    least: int = bounded(minimum=1)
    min_examples: int | None = bounded(minimum=2)
    image_size: int = bounded(minimum=4, maximum=512)
    mels: int = bounded(minimum=8, maximum=80)
    hop_ms: int = bounded(minimum=5, maximum=25)
    seconds: float | None = bounded(minimum=0.1, maximum=60)
    max_steps: int = bounded(minimum=1, maximum=100_000)
    columns: list[str] | None
    drop: list[str] | None
    header: bool | None
    decimal: str | None = one_of("point", "comma", None)
    min_count: int = bounded(minimum=1)
    subwords: bool
    ngram_buckets: int = bounded(minimum=1, maximum=2**20)
    ngrams_per_word: int = bounded(minimum=1, maximum=64)


@dataclass(kw_only=True)
class TerrainSettings:
    name: str
    root: str | None = path()
    split_seed: int = bounded(minimum=0, below=2**32)
    window: int = bounded(minimum=1)
    horizon: int = bounded(minimum=1)
    stretch: int = bounded(minimum=2)


@dataclass(kw_only=True)
class EcgSettings:
    name: str
    root: str | None = path()
    split_seed: int = bounded(minimum=0, below=2**32)
    lead: int = bounded(minimum=0)
    before: float = bounded(minimum=0.05, maximum=2)
    after: float = bounded(minimum=0.05, maximum=2)
    rate: int = bounded(minimum=30, maximum=1000)
    min_beats: int = bounded(minimum=2)
    max_beats: int = bounded(minimum=2)


DATASETS: dict[str, type] = {
    "glyphs": GlyphsSettings,
    "omniglot": OmniglotSettings,
    "sinusoid": SinusoidSettings,
    "speech_commands": SpeechCommandsSettings,
    "pendulum": PendulumSettings,
    "clinc150": Clinc150Settings,
    "movietweetings": MovieTweetingsSettings,
    "cifar_fs": CifarFSSettings,
    "folder": FolderSettings,
    "terrain": TerrainSettings,
    "ecg": EcgSettings,
}

REGRESSION = frozenset({"sinusoid", "pendulum", "terrain"})  # datasets whose targets are numbers
