"""Class datasets of sequences of a person's own."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from metalstm.datasets.files.cache import Content
from metalstm.datasets.files.reader import Scale
from metalstm.tasks.classes import ClassDataset


def grouped(content: Content, counts: list[int]) -> list[list[Tensor]]:
    """Return the sequences of each class, from all in a row."""
    sequences = iter(content["values"].split(content["steps"].tolist()))
    return [[next(sequences) for _ in range(count)] for count in counts]


def pool(names: list[str], sequences: dict[str, list[Tensor]], scale: Scale | None) -> ClassDataset:
    """Return the classes of a split; counts and lengths only where they differ."""
    own = [[each if scale is None else scale(each) for each in sequences[name]] for name in names]
    counts = torch.tensor([len(examples) for examples in own])
    padded = pad_sequence([each for examples in own for each in examples], batch_first=True)
    lengths = torch.tensor([len(each) for examples in own for each in examples])
    several = bool((lengths < padded.shape[1]).any())
    of_class = counts.tolist()
    return ClassDataset(
        pad_sequence(list(padded.split(of_class)), batch_first=True),
        names,
        counts if (counts < counts.max()).any() else None,
        pad_sequence(list(lengths.split(of_class)), batch_first=True, padding_value=1) if several else None,
    )
