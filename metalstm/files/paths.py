"""Where a person's files lie: data, cache, and the paths they name."""

from __future__ import annotations

import os
from pathlib import Path

from metalstm.errors import DataError, MetalstmError


def user_data_folder() -> Path:
    """Where a person's own copies of datasets live: `$XDG_DATA_HOME/metalstm`, or `~/.local/share/metalstm`.

    Raises:
        DataError: nobody knows where this user's home is.
    """
    try:
        return _user_folder("XDG_DATA_HOME", ".local/share")
    except FileNotFoundError as error:
        raise DataError.of(
            f"no folder for the data: {error}", "name the folder that holds it with dataset.root, or set HOME"
        ) from error


def user_cache_folder() -> Path:
    """Where what can be made anew lives: `$XDG_CACHE_HOME/metalstm`, or `~/.cache/metalstm`.

    Raises:
        FileNotFoundError: nobody knows where this user's home is.
    """
    return _user_folder("XDG_CACHE_HOME", ".cache")


def is_name(text: str) -> bool:
    """Whether it can be printed, but for bytes of a path that are not UTF-8, which Python has as surrogates."""
    return all(letter.isprintable() or "\udc80" <= letter <= "\udcff" for letter in text)


def expanded(path: str | Path, name: str = "dataset.root", kind: type[MetalstmError] = DataError) -> Path:
    """Return a path that a person has given; `~` at its beginning is a home folder, and `./~` a folder of that name.

    Args:
        path: as it was given.
        name: the setting or argument that it was given for.
        kind: of the error.

    Raises:
        MetalstmError: it is empty, no system takes it, or nobody has the name that stands after `~`.
    """
    text = str(path)
    if not text:
        raise kind.of(f"{name} is empty", f"give {name}=..., or leave it out")
    if not is_name(text):
        raise kind.of(f"{name}={text} has characters that cannot be printed", f"give {name} without them")
    try:
        whole = Path(text)
        if str(whole).startswith("~"):  # which `./~` is as well, once it is a Path
            return whole.expanduser() if text.startswith("~") else whole.absolute()
        return whole
    except RuntimeError as error:  # nobody has this name, or this person has no home
        raise kind.of(f"{name}={text}: {error}", f"give {name}=<the whole path>; ./~ is a folder named ~") from error


def dataset_root(root: Path | None, dataset: str) -> Path:
    """Return the folder of a dataset's files: as a person has given it, or their own folder of that name.

    Raises:
        DataError: it is no path, or there is no such home.
    """
    return user_data_folder() / dataset if root is None else expanded(root)


def _user_folder(variable: str, default: str) -> Path:
    named = os.environ.get(variable, "")
    # The XDG base directory specification: a relative path in these variables is to be ignored.
    if os.path.isabs(named):
        return Path(named) / "metalstm"
    try:
        return Path.home() / default / "metalstm"
    except RuntimeError as error:  # as in a container for a user without a name
        raise FileNotFoundError(f"HOME is not set, and user {os.geteuid()} has no home") from error


PREDICTIONS = (".csv", ".json", ".jsonl")  # the endings of a file of predictions: each names a format


def card_of(export: str) -> str:
    """Return the file beside exported weights that says what they are."""
    return export.removesuffix(".safetensors") + ".md"
