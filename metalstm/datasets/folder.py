"""A person's own data: a folder for each class, with images, recordings, tables of numbers or lines of text.

Legend: C classes, E examples of the largest class, N examples of all classes, S time steps, F features, K tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from metalstm.datasets.base import Dataset
from metalstm.datasets.cache import Content
from metalstm.datasets.files_by_kind import Classes, find_classes, first
from metalstm.datasets.folder_files import VERSION, read_all
from metalstm.datasets.folder_readers import FolderSettings, read_image, read_table, rows_of
from metalstm.datasets.reader import UNREADABLE, Example, Reader, Scale, reason, scale_of, whole
from metalstm.datasets.speech_features import recording_reader
from metalstm.datasets.texts import line_reader, read_lines
from metalstm.datasets.tokens import TokenSettings, Vocabulary, encode, spelling
from metalstm.errors import DataError, Problem
from metalstm.files import read_bounded
from metalstm.tasks.classes import SPLITS, ClassPool, check_disjoint
from metalstm.tasks.sampler import seeded_generator

FEWEST = 6  # classes, two in each split: telling them apart takes two
FILES, TOKENS = FolderSettings(), TokenSettings()


def load_folder(
    root: Path,
    split_seed: int = 0,
    least: int = 5,
    settings: FolderSettings = FILES,
    tokens: TokenSettings = TOKENS,
) -> Dataset:
    """The classes in a folder, dealt out to the splits by a permutation.

    Numbers of tables and recordings are shifted and scaled by each feature's mean and standard deviation over the
    meta-train classes; the vocabulary of texts is made of these classes alone.

    Args:
        root: the folder with the classes' folders.
        split_seed: which permutation of the classes.
        least: classes of a split, where there are enough.
        settings: how files become examples.
        tokens: how lines become tokens; what cuts them is `settings.max_steps`.

    Raises:
        DataError: the data is missing or broken, of several kinds, or has too few classes.
        ConfigError: no word is in the vocabulary, and there are no n-grams.
    """
    root = Path(root).expanduser()
    kind, classes = find_classes(root)
    if len(classes) < FEWEST:
        raise DataError.of(
            f"{root}: {len(classes)} classes found, but the splits need {FEWEST}, two in each",
            "add folders of further classes, or name another folder with dataset.root",
        )
    chosen = split_classes(list(classes), split_seed, least)
    if kind == "texts":
        made = of_texts(classes, chosen, settings, tokens._replace(max_words=settings.max_steps))
    else:
        made = of_numbers(root, kind, classes, chosen, settings)
    check_disjoint(made.pools)
    digest = json.dumps([VERSION, kind, made.fingerprint, split_seed, chosen])
    return Dataset(
        name="folder",
        kind="classification",
        splits=made.pools,
        steps=made.steps[0] if made.steps[0] == made.steps[1] else None,
        features=made.features,
        outputs=None,
        images=made.grey,
        fingerprint=hashlib.sha256(digest.encode()).hexdigest(),
        description=f"{root}: {kind}",
        details=details(made),
        vocabulary=made.vocabulary,
        reader=made.reader,
    )


class Made(NamedTuple):
    """What the files have become."""

    pools: dict[str, ClassPool]
    features: int
    steps: tuple[int, int]  # of the shortest and of the longest example
    prepared: str  # how, in words
    fingerprint: str
    reader: Reader
    grey: bool = False  # whether they are images of one channel
    vocabulary: int = 0


def split_classes(names: list[str], split_seed: int, least: int) -> dict[str, list[str]]:
    """The classes of each split, in order.

    Meta-validation takes 15% of them and meta-test 25%, but at least `least` each, or a third of all.
    """
    least = min(max(2, least), len(names) // 3)
    validation, test = max(least, round(0.15 * len(names))), max(least, round(0.25 * len(names)))
    order = torch.randperm(len(names), generator=seeded_generator(split_seed, "folder", "split"))
    parts = order.split([len(names) - validation - test, validation, test])
    return {split: [names[i] for i in sorted(part.tolist())] for split, part in zip(SPLITS, parts, strict=True)}


def of_texts(classes: Classes, chosen: dict[str, list[str]], settings: FolderSettings, tokens: TokenSettings) -> Made:
    digest = hashlib.sha256(json.dumps([settings.max_steps, tokens]).encode())
    texts: dict[str, list[list[str]]] = {}
    problems: list[Problem] = []
    cut = 0
    for name, files in classes.items():
        texts[name] = []
        for file in files:
            try:
                data = read_bounded(file)
                lines, more = read_lines(data, settings.max_steps)
            except UNREADABLE as error:
                problems.append(Problem(f"{file}{reason(error)}", "mend this file, or remove it"))
                continue
            digest.update(hashlib.sha256(json.dumps([name, file.name]).encode() + data).digest())
            texts[name] += lines.values()
            cut += more
    if problems:
        raise DataError(*first(problems))
    vocabulary = Vocabulary((text for name in chosen["meta_train"] for text in texts[name]), tokens)
    vocabulary.check()
    pools = {}
    for split, names in chosen.items():
        of_split = [texts[name] for name in names]
        examples, counts, lengths = encode(of_split, vocabulary)
        pools[split] = ClassPool(examples, names, counts, lengths, words=spelling(of_split, vocabulary))
    lengths_ = [len(text) for of_class in texts.values() for text in of_class]
    unknown = vocabulary.share_unknown(text for name in chosen["meta_test"] for text in texts[name])
    return Made(
        pools,
        vocabulary.width,
        (min(lengths_), max(lengths_)),
        f"a line is an example, a word a step; {len(vocabulary.words):,} words of meta_train, {unknown:.1%} of "
        f"meta_test's not among them; cut to {settings.max_steps} words: {cut} lines",
        digest.hexdigest(),
        Reader("texts", line_reader(vocabulary, settings.max_steps)),
        vocabulary=vocabulary.size,
    )


def of_numbers(root: Path, kind: str, classes: Classes, chosen: dict[str, list[str]], settings: FolderSettings) -> Made:
    content = read_all(root, kind, classes, settings)
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
        reader = Reader(kind, numbers_reader(settings, features, scale))
    return Made(
        {split: pool(names, sequences, scale) for split, names in chosen.items()},
        features,
        (shortest, longest),
        f"{how}; mean 0 and standard deviation 1 over meta_train",
        content["fingerprint"],
        reader,
    )


def images_reader(size: int, channels: int) -> Callable[[bytes], list[Example]]:
    """From an image's content to its rows [S, F]."""

    def read(data: bytes) -> list[Example]:
        image = read_image(data, size)
        return whole(rows_of(image.values, channels), image.note)

    return read


def numbers_reader(settings: FolderSettings, features: int, scale: Scale) -> Callable[[bytes], list[Example]]:
    """From a table's content to its scaled steps [S, F]."""

    def read(data: bytes) -> list[Example]:
        suffix = ".npy" if data.startswith(b"\x93NUMPY") else ".csv"
        values, _ = read_table(data, suffix, settings.max_steps)
        if values.shape[1] != features:
            raise ValueError(f"{values.shape[1]} columns, but the run reads {features}")
        return whole(scale(values))

    return read


def grouped(content: Content, counts: list[int]) -> list[list[Tensor]]:
    """The sequences of each class, from all in a row."""
    sequences = iter(content["values"].split(content["steps"].tolist()))
    return [[next(sequences) for _ in range(count)] for count in counts]


def pool(names: list[str], sequences: dict[str, list[Tensor]], scale: Scale | None) -> ClassPool:
    """The classes of a split; counts and lengths only where they differ."""
    own = [[each if scale is None else scale(each) for each in sequences[name]] for name in names]
    counts = torch.tensor([len(examples) for examples in own])
    padded = pad_sequence([each for examples in own for each in examples], batch_first=True)
    lengths = torch.tensor([len(each) for examples in own for each in examples])
    several = bool((lengths < padded.shape[1]).any())
    of_class = counts.tolist()
    return ClassPool(
        pad_sequence(list(padded.split(of_class)), batch_first=True),
        names,
        counts if (counts < counts.max()).any() else None,
        pad_sequence(list(lengths.split(of_class)), batch_first=True, padding_value=1) if several else None,
    )


def details(made: Made) -> tuple[str, ...]:
    """What was found, for the log."""
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
    )
