"""The contents of CIFAR-100's files, pickled as they were."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from metalstm.datasets.images.cifar_fs import CLASSES


def cifar100(train: int = 3, test: int = 2) -> dict[str, dict[str, Any]]:
    """The contents of CIFAR-100's three files, with few images."""
    random = np.random.default_rng(0)
    names = sorted(name for chosen in CLASSES.values() for name in chosen)
    made: dict[str, dict[str, Any]] = {"meta": {"fine_label_names": names, "coarse_label_names": ["all"]}}
    for part, count in (("train", train), ("test", test)):
        labels = random.permutation(100 * count) % 100
        data = random.integers(0, 256, (100 * count, 3072), dtype=np.uint8)
        made[part] = {"data": data, "fine_labels": labels.tolist(), "coarse_labels": [0] * len(data)}
        made[part] |= {"filenames": ["x.png"] * len(data), "batch_label": f"{part}ing batch 1 of 1"}
    return made


def opcodes(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"}(" + b"".join(opcodes(item) for pair in value.items() for item in pair) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(opcodes, value)) + b"e"
    if isinstance(value, np.ndarray):
        kind = value.dtype.str[1:]
        begin = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01("
        array_type = b"tcnumpy\ndtype\n(" + opcodes(kind) + b"K\x00K\x01tR(K\x03U\x01|NNN"
        array_type += opcodes(-1) * 2 + b"K\x00tb"
        order = b"\x88" if value.flags.fnc else b"\x89"
        return begin + b"".join(map(opcodes, value.shape)) + array_type + order + opcodes(value.tobytes("A")) + b"tb"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    text = value.encode("latin1") if isinstance(value, str) else value
    return b"T" + struct.pack("<i", len(text)) + text


def python2_pickle(value: Any) -> bytes:
    """Pickle lists, mappings, texts, numbers and arrays of bytes as Python 2 did CIFAR-100."""
    return b"\x80\x02" + opcodes(value) + b"."
