"""Small files that somebody may have damaged, or made to do harm: bounded before they are parsed."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any

import yaml

from metalstm.errors import first_line

LARGEST_JSON = 2**24  # bytes; a result has some thousands
LARGEST_YAML = 2**16  # bytes; a run's config has two thousand
MOST_NODES = 5_000  # of a YAML file, each counted as often as it is referred to
DEEPEST = 50  # nested one in the other
# Numbers that YAML 1.1 takes for texts: OmegaConf reads, and quotes, them so.
EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*\.?[0-9_]*[eE][-+]?[0-9]+$")
TIMESTAMP = "tag:yaml.org,2002:timestamp"


class Unreadable(ValueError):
    """Why a file cannot be read, in words."""


def read_bytes(path: Path, most: int) -> bytes:
    """Read a file of at most `most` bytes.

    Raises:
        Unreadable: it is missing, no file, or larger.
    """
    try:
        check_is_file(path)
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error
    if len(data) > most:
        raise Unreadable(f"it has more than {most:,} bytes")
    return data


def check_is_file(path: Path) -> None:
    """Refuse a pipe, a device or a folder: to open a pipe is to wait for whoever writes into it.

    Raises:
        Unreadable: it is no file.
        OSError: it is not there.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise Unreadable("it is no file")


def read_text(path: Path, most: int) -> str:
    """Read a text in UTF-8; see `read_bytes`."""
    try:
        return read_bytes(path, most).decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"it is no UTF-8: {error.reason} at byte {error.start}") from error


def read_json(path: Path, most: int = LARGEST_JSON) -> Any:
    """Read a file of JSON.

    Raises:
        Unreadable: it is missing, too large, nested too deep, or no JSON.
    """
    text = read_text(path, most)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise Unreadable("it is nested too deep") from error
    except ValueError as error:  # also of a number with thousands of digits
        raise Unreadable(f"it is no JSON: {error}") from error


def read_yaml(path: Path) -> Any:
    """Read a file of YAML as plain data, with numbers and texts told apart as OmegaConf does.

    Raises:
        Unreadable: it is missing, no YAML, too large, nested too deep, or its anchors stand for too much.
    """

    class Loader(yaml.SafeLoader):
        pass

    Loader.yaml_implicit_resolvers = {
        letter: [resolver for resolver in resolvers if resolver[0] != TIMESTAMP]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+0123456789"))
    text = read_text(path, LARGEST_YAML)
    try:
        check_nodes(text)
        return yaml.load(text, Loader=Loader)
    except Unreadable:
        raise
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise Unreadable(f"it is no YAML: {first_line(error)}") from error


def check_nodes(text: str) -> None:
    """Whether the nodes of a YAML text, anchors followed, are few; without building any of them.

    Raises:
        Unreadable: they are too many, or nested too deep.
        yaml.YAMLError: it is no YAML.
    """
    sizes: dict[str, int] = {}  # of whole nodes with an anchor
    opened: list[tuple[str | None, int]] = []  # anchor, and the number of nodes before it
    count = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):  # to a node that is still open, it stands for itself
            count += sizes.get(str(event.anchor), MOST_NODES + 1)
        elif isinstance(event, yaml.NodeEvent):
            count += 1
            if isinstance(event, yaml.CollectionStartEvent):
                opened.append((event.anchor, count - 1))
            elif event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            if anchor is not None:
                sizes[anchor] = count - before
        if count > MOST_NODES:
            raise Unreadable(f"it stands for more than {MOST_NODES:,} values")
        if len(opened) > DEEPEST:
            raise Unreadable(f"it is nested more than {DEEPEST} deep")
