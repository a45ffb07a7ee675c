"""How files break: bytes cut, flipped and mixed up, and trees of values with a value of another kind in them."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy


class Broken(NamedTuple):
    """What happens to a file's bytes, where (as a share of its length), and a number more."""

    how: str
    at: float
    number: int


def broken(*how: str) -> SearchStrategy[Broken]:
    return st.builds(Broken, st.sampled_from(how or tuple(BYTES)), st.floats(0, 1), st.integers(0, 255))


def break_bytes(data: bytes, damage: Broken) -> bytes:
    return BYTES[damage.how](data, min(int(damage.at * len(data)), max(0, len(data) - 1)), damage.number)


def flipped(data: bytes, at: int, number: int) -> bytes:
    return data[:at] + bytes([byte ^ 1 << number % 8 for byte in data[at : at + 1]]) + data[at + 1 :]


BYTES: dict[str, Any] = {
    "truncated": lambda data, at, number: data[:at],
    "flipped": flipped,
    "a byte changed": lambda data, at, number: data[:at] + bytes([number]) + data[at + 1 :],
    "cut": lambda data, at, number: data[:at] + data[at + number + 1 :],
    "zeros": lambda data, at, number: data[:at] + bytes(number + 1) + data[at + number + 1 :],
    "repeated": lambda data, at, number: data[:at] + data[at:] + data[at:],
    "more behind": lambda data, at, number: data + bytes([number]) * (1 + int(at)),
    "more before": lambda data, at, number: bytes([number]) * (1 + number) + data,
    "empty": lambda data, at, number: b"",
    "no text": lambda data, at, number: b"\xff\xfe\x00" * (1 + number),
    "deep": lambda data, at, number: b"[" * 3_000,
    "deep mapping": lambda data, at, number: b'{"a":' * 3_000,
    "a word": lambda data, at, number: b"word",
    "null": lambda data, at, number: b"null",
    "a list": lambda data, at, number: b"[]",
    "a mapping": lambda data, at, number: b"{}",
    "a number": lambda data, at, number: b"5",
    "itself": lambda data, at, number: b"&a [*a]",
    "no space": lambda data, at, number: data.replace(b" ", b""),
    "other line ends": lambda data, at, number: data.replace(b"\n", b"\r\n"),
    "with a mark": lambda data, at, number: b"\xef\xbb\xbf" + data,
}

ODD_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 7, 10**9, 2**63, 10**30, -(10**30), 0.5, -0.5, 1e38, 1e308),
    *(
        math.nan,
        math.inf,
        -math.inf,
        "",
        "word",
        "???",
        "${ways}",
        "${nothing}",
        "${oc.env:HOME}",
        "${",
        "nan",
        "nul\0byte",
    ),
    *(
        "line\nbreak",
        "é" * 300,
        "\x1b[31m",
        "../x",
        [],
        {},
        [1],
        [[1]],
        {"name": "maml"},
        {"a": {"b": []}},
        [None],
        [1, 2, 3],
    ),
    *(
        "maml",
        "sinusoid",
        "omniglot",
        "cpu",
        "cuda",
        "meta",
        "accuracy",
        "mse",
        [0.5, 0.5],
        "step",
        [0, 1, 2, 3, 4],
        {"name": []},
    ),
]


class Changed(NamedTuple):
    """What happens to one value of a tree, counted as it is read, and the new value or name."""

    how: str
    which: int
    value: int  # which of the odd values


def changed() -> SearchStrategy[Changed]:
    odd = st.integers(0, len(ODD_VALUES) - 1)
    how = st.sampled_from(["replaced", "replaced", "replaced", "removed", "added", "renamed", "doubled"])
    return st.builds(Changed, how, st.integers(0, 400), odd)


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Each container in a tree with each of its keys or indices; of a long list the first few."""
    keys = list(tree) if isinstance(tree, dict) else range(min(len(tree), 4)) if isinstance(tree, list) else []
    for key in keys:
        yield tree, key
        yield from places(tree[key])


def change(tree: Any, damage: Changed) -> Any:
    """The tree with the damage done; it stays as it is where there is nothing to damage."""
    tree = copy.deepcopy(tree)
    value = ODD_VALUES[damage.value]
    found = list(places(tree))
    if not found:
        return value
    inside, key = found[damage.which % len(found)]
    if damage.how == "removed":
        del inside[key]
    elif damage.how == "replaced":
        inside[key] = value
    elif isinstance(inside, list):
        inside.insert(key, inside[key] if damage.how == "doubled" else value)
    elif damage.how == "renamed":
        inside[f"{key}x"] = inside.pop(key)
    else:
        inside["wasy" if damage.how == "added" else f"{key} "] = value
    return tree
