"""A person's own data: a folder for each class, with images, recordings, tables of numbers or lines of text.

Legend: C classes, E examples of the largest class, N examples of all classes, S time steps, F features, K tokens.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from metalstm.config.fields import bounded, one_of, path
from metalstm.datasets.audio.speech_features import FrameSettings, recording_reader
from metalstm.datasets.base import Dataset, DatasetSettings
from metalstm.datasets.files.folders import Classes, files_of
from metalstm.datasets.files.reader import Example, Reader, Scale, scale_of, whole
from metalstm.datasets.own.columns import Columns
from metalstm.datasets.own.folder_files import VERSION, content_of, read_all
from metalstm.datasets.own.folder_readers import ReadingSettings, as_steps, read_image, read_table, rows_of
from metalstm.datasets.own.folder_splits import Chosen, SplitSettings, class_folders, deal, large_enough
from metalstm.datasets.own.folder_texts import Texts, read_texts
from metalstm.datasets.own.pools import grouped, pool
from metalstm.datasets.own.tables import TableSettings
from metalstm.datasets.text.texts import line_reader, text_content
from metalstm.datasets.text.tokens import TokenSettings, Vocabulary, encode, spelling
from metalstm.files.paths import dataset_root
from metalstm.registry import register
from metalstm.tasks.classes import ClassDataset

log = logging.getLogger(__name__)

FILES, TOKENS, TABLES, SPLITTING = ReadingSettings(), TokenSettings(), TableSettings(), SplitSettings()


def load_folder(
    root: Path,
    splitting: SplitSettings = SPLITTING,
    settings: ReadingSettings = FILES,
    tokens: TokenSettings = TOKENS,
    tables: TableSettings = TABLES,
) -> Dataset:
    """Return the classes in a folder, each in the split that its folder or a file says, or dealt out by a permutation.

    Numbers of tables and recordings are shifted and scaled by each feature's mean and standard deviation over the
    meta-train classes; the vocabulary of texts is made of these classes alone.

    Args:
        root: the folder with the classes' folders.
        splitting: which classes there are, and in which split.
        settings: how files become examples.
        tokens: how lines become tokens; what cuts them is `settings.max_steps`.
        tables: how tables are read.

    Raises:
        DataError: the data is missing or broken, of several kinds, or has too few classes.
        ConfigError: no word is in the vocabulary, and there are no n-grams.
    """
    root = dataset_root(root, "folder")
    folders, given = class_folders(root)
    least = 1 if splitting.min_examples is None else 0
    kind, classes = files_of(root, folders, least=least)
    texts = read_texts(classes, settings) if kind == "texts" else None
    sizes = {name: len(files if texts is None else texts.of_class[name]) for name, files in classes.items()}
    kept = large_enough(root, sizes, splitting.min_examples)
    chosen = deal(root, kept, given, splitting)
    if texts is not None:
        made = of_texts(texts, chosen, settings, tokens._replace(max_words=settings.max_steps))
    else:
        used = {name for names in chosen.values() for name in names}
        classes = {name: files for name, files in classes.items() if name in used}
        made = of_numbers(root, kind, classes, chosen, settings, tables)
    digest = json.dumps([VERSION, kind, made.fingerprint, splitting.split_seed, chosen])
    return Dataset(
        name="folder",
        splits=made.pools,
        steps=made.steps[0] if made.steps[0] == made.steps[1] else None,
        features=made.features,
        images=made.grey,
        fingerprint=hashlib.sha256(digest.encode()).hexdigest(),
        description=f"{root}: {kind}",
        details=details(made),
        vocabulary=made.vocabulary,
        reader=made.reader,
    )


class Made(NamedTuple):
    """The classes of each split, made of the files."""

    pools: dict[str, ClassDataset]
    features: int
    steps: tuple[int, int]  # of the shortest and of the longest example
    prepared: str  # how, in words
    fingerprint: str
    reader: Reader
    grey: bool = False  # whether they are images of one channel
    vocabulary: int = 0
    notes: tuple[str, ...] = ()  # on columns


def of_texts(found: Texts, chosen: Chosen, settings: ReadingSettings, tokens: TokenSettings) -> Made:
    digest = hashlib.sha256(json.dumps([settings.max_steps, tokens]).encode() + found.fingerprint)
    if found.new_scripts:
        digest.update(b"words by UAX 29")
    texts = found.of_class
    vocabulary = Vocabulary((text for name in chosen["meta_train"] for text in texts[name]), tokens)
    vocabulary.check()
    pools = {}
    for split, names in chosen.items():
        of_split = [texts[name] for name in names]
        examples, counts, lengths = encode(of_split, vocabulary)
        pools[split] = ClassDataset(examples, names, counts, lengths, words=spelling(of_split, vocabulary))
    lengths_ = [len(text) for names in chosen.values() for name in names for text in texts[name]]
    unknown = vocabulary.share_unknown(text for name in chosen["meta_test"] for text in texts[name])
    return Made(
        pools,
        vocabulary.width,
        (min(lengths_), max(lengths_)),
        f"a line is an example, a word a step; {len(vocabulary.words):,} words of meta_train, {unknown:.1%} of "
        f"meta_test's not among them; cut to {settings.max_steps} words: {found.cut} lines"
        + (f"; {found.wordless} lines without a word left out" if found.wordless else ""),
        digest.hexdigest(),
        Reader("texts", line_reader(vocabulary, settings.max_steps), text_content),
        vocabulary=vocabulary.size,
    )


def of_numbers(
    root: Path, kind: str, classes: Classes, chosen: Chosen, settings: ReadingSettings, tables: TableSettings
) -> Made:
    content = read_all(root, kind, classes, settings, tables)
    for hint in content["hints"]:
        log.warning("%s", hint)
    sequences = dict(zip(classes, grouped(content, [len(files) for files in classes.values()]), strict=True))
    steps: Tensor = content["steps"]
    shortest, longest = int(steps.min()), int(steps.max())
    features: int = content["values"].shape[1]
    if kind == "images":
        channels = features // settings.image_size
        colour = "grey" if channels == 1 else "colour, a step is a row of all channels"
        return Made(
            {split: pool(names, sequences, None) for split, names in chosen.items()},
            features,
            (shortest, longest),
            f"squeezed to {settings.image_size} x {settings.image_size} pixels, {colour}",
            content["fingerprint"],
            Reader(kind, images_reader(settings.image_size, channels)),
            grey=channels == 1,
        )
    known = torch.cat([sequence for name in chosen["meta_train"] for sequence in sequences[name]])
    scale = scale_of(known, 1e-6 * known.double().abs().mean(dim=0))
    if kind == "recordings":
        frames = settings.frames
        how = f"log-mel frames of the first {frames.seconds:g} s; {content['cut']} recordings cut"
        how += f"; {content['said']}" if content["said"] else ""
        reader = recording_reader(frames, content["rate"], scale)
    else:
        how = f"a row is a step; the first {settings.max_steps}: {content['cut']} files cut"
        reader = table_reader(Columns(*content["columns"]), tables, settings.max_steps, scale)
    return Made(
        {split: pool(names, sequences, scale) for split, names in chosen.items()},
        features,
        (shortest, longest),
        f"{how}; mean 0 and standard deviation 1 over meta_train",
        content["fingerprint"],
        reader,
        notes=(*content["notes"],),
    )


def images_reader(size: int, channels: int) -> Callable[[bytes], list[Example]]:
    """From an image's content to its rows [S, F]."""

    def read(data: bytes) -> list[Example]:
        image = read_image(data, size)
        return whole(rows_of(image.values, channels), image.note)

    return read


def table_reader(columns: Columns, tables: TableSettings, most: int, scale: Scale) -> Reader:
    """Read a table's columns, by what the run has learned of them, as scaled steps [S, F]."""

    def read(data: bytes) -> list[Example]:
        suffix = ".npy" if data.startswith(b"\x93NUMPY") else ".csv"
        return whole(scale(as_steps(columns.of(read_table(data, suffix, most, tables)), most)))

    return Reader("tables", read, lambda file: content_of(file, most))


def details(made: Made) -> tuple[str, ...]:
    """Return what was found, for the log."""
    held = [
        int(count)
        for pool in made.pools.values()
        for count in (torch.full((pool.classes,), pool.examples.shape[1]) if pool.counts is None else pool.counts)
    ]
    sizes = ", ".join(f"{pool.classes} {split}" for split, pool in made.pools.items())
    shortest, longest = made.steps
    tokens = f", {made.vocabulary:,} tokens in all" if made.vocabulary else ""
    what = "tokens" if made.vocabulary else "features"
    return (
        f"classes   {len(held)}: {sizes}",
        f"examples  {sum(held):,}: {min(held)} to {max(held)} a class, median {median(held):g}",
        f"steps     {longest if shortest == longest else f'{shortest} to {longest}'} of {made.features} {what}{tokens}",
        f"prepared  {made.prepared}",
        *(f"columns   {note}" for note in made.notes),
    )


@register("dataset", "folder")
@dataclass(kw_only=True)
class FolderSettings(DatasetSettings):
    """The settings of a folder of one's own data."""

    searched: ClassVar[frozenset[str]] = frozenset(
        {"image_size", "max_steps", *FrameSettings._fields, *TokenSettings._fields} - {"max_words"}
    )

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

    def load(self) -> Dataset:
        return load_folder(
            Path(self.root),
            self.some(SplitSettings),
            self.some(ReadingSettings),
            self.some(TokenSettings),
            self.some(TableSettings),
        )
