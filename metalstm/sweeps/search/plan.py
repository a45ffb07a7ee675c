"""A search's plan: fixed settings, spaces, and what says whether a later start is the same search."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from metalstm.errors import CheckpointError, ConfigError, Problem
from metalstm.files.reading import Unreadable, read_yaml
from metalstm.files.writing import write_atomically, writing
from metalstm.sweeps.search.space import Space

PLAN = "search.yaml"
FORMAT = 1
# Trials with other values of these would be judged on other tasks, and could not be compared; or would be other runs.
NOT_SEARCHED = frozenset(
    {
        *("dataset", "ways", "shots", "queries", "seed", "validation_tasks"),
        *("experiment", "resume", "output_dir", "allow_changed_data"),
    }
)


class Plan(NamedTuple):
    """The settings of a search: those that all trials share, and the spaces."""

    fixed: list[str]  # overrides that all trials have
    spaces: list[Space]

    def overrides(self, values: Mapping[str, float | str]) -> list[str]:
        """Return a trial's settings, as the command line of `metalstm-train` has them."""
        return self.fixed + [space.override(values[space.name]) for space in self.spaces]

    def described(self) -> dict[str, Any]:
        """Return what makes two searches the same, whatever the order in which it was given."""
        return {"format": FORMAT, "settings": sorted(self.fixed), "spaces": sorted(space.text for space in self.spaces)}

    def digest(self) -> str:
        return hashlib.sha256(repr(self.described()).encode()).hexdigest()[:8]


def check_searchable(spaces: Sequence[Space], searched: frozenset[str]) -> None:
    """Whether trials can be compared across each space; `searched` are the dataset's settings that may be.

    Raises:
        ConfigError: with every problem found.
    """
    names = [space.name.lstrip("+") for space in spaces]
    problems = [
        Problem(
            f"{space.text}, but trials with other {name} cannot be compared{': ' * bool(why)}{why}",
            f"give {name} one value",
        )
        for space, name in zip(spaces, names, strict=True)
        if (why := why_not(name, searched)) is not None
    ]
    if problems:
        raise ConfigError(*problems)


def why_not(name: str, searched: frozenset[str]) -> str | None:
    """Why a setting is not searched, where its name does not say it; None: it can be.

    Args:
        name: dotted, as on the command line.
        searched: the settings of the dataset that are.
    """
    if name in NOT_SEARCHED:
        return ""
    if name.startswith("dataset.") and name.removeprefix("dataset.") not in searched:
        return "they have other tasks, and the easiest would win"
    return None


def keep_plan(folder: Path, plan: Plan) -> None:
    """Write the plan into a search's folder, or compares it with the one that is there.

    Raises:
        ConfigError: another search is there; with each difference.
        CheckpointError: what is there cannot be read, or not written.
    """
    path = folder / PLAN
    mine = plan.described()
    if not path.exists():
        with writing(path):
            write_atomically(path, yaml.safe_dump(mine, sort_keys=False, width=1000).encode())
        return
    try:
        there = read_yaml(path)
        before = {str(text) for part in ("settings", "spaces") for text in there[part]}
        known_format = there["format"]
    except (ValueError, KeyError, TypeError) as error:
        said = error if isinstance(error, Unreadable) else type(error).__name__
        raise CheckpointError.of(f"{path} cannot be read: {said}", "give search=<another folder>") from error
    if known_format != FORMAT:
        raise CheckpointError.of(
            f"{path} has format {known_format}, this version reads {FORMAT}", "use a newer version"
        )
    now = {*mine["settings"], *mine["spaces"]}
    if now != before:
        fix = "give the same settings, or search=<another folder>"
        raise ConfigError(
            *(Problem(f"{text}, but the search in {folder} is without it", fix) for text in sorted(now - before)),
            *(Problem(f"the search in {folder} has {text}", fix) for text in sorted(before - now)),
        )
