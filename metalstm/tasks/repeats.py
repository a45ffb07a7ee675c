"""Examples that say nothing: all alike, without a change from step to step, or found in two places."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from metalstm.tasks.classes import ClassDataset

BLANK = 8  # levels of 255 that pixels of a blank image differ by, less than can be seen


class ClassContent(NamedTuple):
    """Digests of the examples of a class, and how many of them are constant."""

    split: str
    name: str
    whole: str  # classes of another whole may share an example, such as a film that two people like
    examples: list[bytes]  # a digest of each
    constant: int  # how many do not change from step to step


def empty_data(splits: Mapping[str, object]) -> list[str]:
    """Return a warning for each way in which examples of classes tell nothing."""
    pools = {split: source for split, source in splits.items() if isinstance(source, ClassDataset)}
    classes = [of_class for split, pool in pools.items() for of_class in contents(split, pool)]
    if len({example for each in classes for example in each.examples}) == 1:
        held = sum(len(each.examples) for each in classes)
        return [f"all {held} examples are identical: nothing can be learned from them", *constant(classes)]
    return [*alike(classes), *constant(classes), *shared(classes)]


def contents(split: str, pool: ClassDataset) -> Iterator[ClassContent]:
    for number, name in enumerate(pool.names):
        count = pool.examples.shape[1] if pool.counts is None else int(pool.counts[number])
        examples = pool.examples[number, :count]
        lengths = torch.full((count,), examples.shape[1]) if pool.lengths is None else pool.lengths[number, :count]
        whole = "" if pool.together is None else f"{split}:{number // pool.together}"
        yield ClassContent(split, name, whole, digests(examples, lengths), int(is_constant(examples, lengths).sum()))


def digests(examples: Tensor, lengths: Tensor) -> list[bytes]:
    """Return a digest of the real steps of each example [E, S, F]."""
    pairs = zip(examples.numpy(), lengths.tolist(), strict=True)
    return [hashlib.blake2b(example[:length].tobytes(), digest_size=16).digest() for example, length in pairs]


def is_constant(examples: Tensor, lengths: Tensor) -> Tensor:
    """[E]: whether numbers [E, S, F] are the same at every step; the pixels of an image, everywhere, or nearly so."""
    if examples.dtype == torch.int64:
        return torch.zeros(len(examples), dtype=torch.bool)
    image = examples.dtype == torch.uint8
    first = examples[:, :1, :1] if image else examples[:, :1]
    same = (examples.short() - first.short()).abs() < BLANK if image else examples == first
    beyond = torch.arange(examples.shape[1]) >= lengths.unsqueeze(1)
    return (same | beyond.unsqueeze(2)).flatten(1).all(dim=1) & (lengths > 1)


def alike(classes: Sequence[ClassContent]) -> Iterator[str]:
    """Classes of which all examples are the same."""
    found = [each for each in classes if len(each.examples) > 1 and len(set(each.examples)) == 1]
    if found:
        held = sum(len(each.examples) for each in found)
        yield (
            f"{len(found)} of {len(classes)} classes have identical examples only, {held} in all, such as "
            f"'{found[0].name}': each is one example over and over"
        )


def constant(classes: Sequence[ClassContent]) -> Iterator[str]:
    """Classes of which no example changes from step to step."""
    found = [each for each in classes if each.examples and each.constant == len(each.examples)]
    if found:
        held = sum(each.constant for each in found)
        yield (
            f"{len(found)} of {len(classes)} classes have constant examples only, {held} in all, such as "
            f"'{found[0].name}': blank, silent, or the same at every step"
        )
    others = [each for each in classes if 0 < each.constant < len(each.examples)]
    if others:
        held, of = sum(each.constant for each in others), sum(len(each.examples) for each in others)
        yield f"{held} of {of} examples of {len(others)} further classes, such as '{others[0].name}', are constant, too"


def shared(classes: Sequence[ClassContent]) -> Iterator[str]:
    """Examples that are in several classes, and in several splits."""
    places: dict[tuple[str, bytes], list[ClassContent]] = defaultdict(list)
    for each in classes:
        for example in set(each.examples):
            places[each.whole, example].append(each)
    several = [found for found in places.values() if len(found) > 1]
    across = [found for found in several if len({each.split for each in found}) > 1]
    if several:
        names = " and ".join(f"'{each.name}'" for each in several[0][:2])
        yield f"examples found in more than one class: {len(several)}, such as one in {names}"
    if across:
        first = across[0][0]
        second = next(each for each in across[0] if each.split != first.split)
        yield (
            f"examples found in more than one split: {len(across)}, such as one in '{first.name}' of {first.split} and "
            f"'{second.name}' of {second.split}: what is tested on was trained on"
        )
