"""Any dataset of (example, label) pairs as classes: a `torch.utils.data.Dataset`, a list, whatever can be gone through.

Legend: S time steps, F features of a step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metalstm.datasets.base import Dataset
from metalstm.datasets.own.pools import pool
from metalstm.datasets.splits import Shares, split_randomly
from metalstm.errors import DataError, Problem, first_few
from metalstm.tasks.classes import SPLITS, ClassDataset

SHARES = Shares(validation=0.16, test=0.2)  # of the classes
CHANNELS = (1, 3, 4)


def class_pools(
    pairs: Iterable[tuple[Any, Any]],
    split: Mapping[str, Sequence[Any]] | None = None,
    seed: int = 0,
    name: str = "mine",
) -> dict[str, ClassDataset]:
    """Return the classes of each split, with the examples of each in their order.

    Args:
        pairs: (example, label). An example is a sequence [S, F] or [S], or an image [H, W], [H, W, C] or [C, H, W], of
            which a row is a time step; a tensor, an array or a PIL image. uint8 stands for 0..1, int64 for tokens.
        split: labels by `meta_train`, `meta_validation` and `meta_test`; None: 64 / 16 / 20% of the classes at random.
        seed: which permutation of the classes.
        name: of the dataset, which the permutation depends on too.

    Raises:
        DataError: no pairs, an example that is no sequence, steps of several widths, or labels without examples.

    Example:
        Dataset(name="mine", splits=class_pools(torchvision.datasets.KMNIST(root)), ...)
    """
    sequences: dict[Any, list[Tensor]] = {}
    problems: list[Problem] = []
    for number, (example, label) in enumerate(pairs):
        try:
            sequences.setdefault(plain(label), []).append(as_sequence(example))
        except (ValueError, TypeError, RuntimeError) as error:
            problems.append(Problem(f"example {number} is no sequence: {error}", "give [S, F], [S], or an image"))
    if problems:
        raise DataError(*first_few(problems, "examples"))
    kinds = {(each.shape[1], each.dtype) for examples in sequences.values() for each in examples}
    if len(kinds) > 1:
        listed = ", ".join(f"[steps, {width}] {dtype}" for width, dtype in sorted(kinds, key=str)[:3])
        raise DataError.of(f"examples of dataset '{name}' are of several kinds: {listed}", "give all in one form")
    if len(sequences) < len(SPLITS):
        raise DataError.of(f"dataset '{name}' has {len(sequences)} classes", "give pairs of at least 3 labels")
    labels = sorted(sequences, key=lambda label: (str(type(label)), label))
    chosen = split_randomly(labels, SHARES, seed, name) if split is None else {s: list(split[s]) for s in SPLITS}
    missing = [str(label) for of_split in chosen.values() for label in of_split if label not in sequences]
    if missing:
        raise DataError.of(f"no example of dataset '{name}' has the label {', '.join(missing[:5])}", "mend the split")
    named = {str(label): examples for label, examples in sequences.items()}
    return {s: pool([str(label) for label in of_split], named, None) for s, of_split in chosen.items()}


def dataset_of(name: str, pools: Mapping[str, ClassDataset], images: bool = False) -> Dataset:
    """Return a dataset of these classes.

    Args:
        name: of the dataset.
        pools: by split, from `class_pools`.
        images: whether a step is a row of a square image, which may be read along its columns as well.
    """
    digest = hashlib.sha256(name.encode())
    for each in pools.values():
        digest.update(repr(each.names).encode())
        digest.update(each.examples.numpy().tobytes())
    first = next(iter(pools.values()))
    steps = {each.examples.shape[2] for each in pools.values()}
    one_length = len(steps) == 1 and all(each.lengths is None for each in pools.values())
    tokens = first.examples.dtype == torch.int64
    return Dataset(
        name=name,
        splits=dict(pools),
        steps=steps.pop() if one_length else None,
        features=first.examples.shape[3],
        images=images,
        fingerprint=digest.hexdigest(),
        description=f"{name}: {' / '.join(str(each.classes) for each in pools.values())} classes",
        vocabulary=1 + max(int(each.examples.max()) for each in pools.values()) if tokens else 0,
    )


def plain(label: Any) -> Any:
    """Return a label as a number or text of Python."""
    return label.item() if hasattr(label, "item") else label


def as_sequence(example: Any) -> Tensor:
    """Return an example as [S, F]: uint8, float32 or int64.

    Raises:
        ValueError, TypeError: it is none, or has values that are not finite.
    """
    values = example if isinstance(example, Tensor) else torch.from_numpy(np.array(example))
    if values.dtype not in (torch.uint8, torch.float32, torch.int64):
        values = values.float()
    if values.dim() == 3 and values.shape[0] in CHANNELS and values.shape[2] not in CHANNELS:
        values = values.permute(1, 2, 0)
    if values.dim() == 3:
        values = values.flatten(1)
    if values.dim() == 1:
        values = values.unsqueeze(1)
    if values.dim() != 2 or 0 in values.shape:
        raise ValueError(f"its shape is {list(values.shape)}")
    if values.dtype == torch.float32 and not values.isfinite().all():
        raise ValueError("it has values that are not finite")
    return values.contiguous()
