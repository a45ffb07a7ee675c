"""Going on with a run: its config is restored whole, and what would change its meaning is refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from metalstm.config import BUDGETS, GROUPS, TrainSettings, as_mapping, train_settings
from metalstm.datasets.base import Dataset
from metalstm.errors import CheckpointError, ConfigError, DataError, Problem
from metalstm.fields import flat, plain, shown
from metalstm.files import write_atomically, writing
from metalstm.run.directory import CONFIG, IDENTITY, RESULT, write_json

log = logging.getLogger(__name__)

FORMAT = 1
LATER = {"logger": "none", "averaging": None, "memory_budget": None}  # settings that older runs do not have
LATER_OF = {  # of choices of a group
    "dataset": {"omniglot": {"augment": 0, "mirrored": False}},
    "model": {"lstm": {"stack": 1}},
}
NOT_KEPT = {"resume": None, "allow_changed_data": False}  # settings of one start, not of the run


def write_config(path: Path, settings: TrainSettings, fingerprint: str) -> None:
    """Writes down what a run is: its whole config, and the fingerprint of its data."""
    write_json(path / IDENTITY, {"format": FORMAT, "fingerprint": fingerprint})
    with writing(path / CONFIG):
        write_atomically(path / CONFIG, OmegaConf.to_yaml(plain(settings) | NOT_KEPT).encode())


def run_settings(path: Path) -> TrainSettings:
    """The settings that a run directory was made with.

    Raises:
        CheckpointError: this is no run directory, or one of a newer format.
    """
    fix = "give the directory that a run printed as its first line"
    if not path.is_dir():
        raise CheckpointError.of(f"{path} is not a directory", fix)
    try:
        config = OmegaConf.load(path / CONFIG)
        identity = json.loads((path / IDENTITY).read_text(encoding="utf-8"))
        known_format, _ = identity["format"], identity["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        raise CheckpointError.of(
            f"{path} is not a run directory: {CONFIG} or {IDENTITY} is missing or broken ({type(error).__name__})", fix
        ) from error
    if known_format != FORMAT:
        raise CheckpointError.of(
            f"{path} has format {known_format}, this version reads {FORMAT}", "install the version that wrote it"
        )
    if not isinstance(config, DictConfig):
        raise CheckpointError.of(f"{path / CONFIG} is not a mapping", fix)
    values = LATER | as_mapping(config)
    for group, later in LATER_OF.items():
        if isinstance(chosen := values.get(group), dict):
            values[group] = later.get(str(chosen.get("name")), {}) | chosen
    return train_settings(OmegaConf.create(values))


class Resumed(NamedTuple):
    """A run to go on with."""

    settings: TrainSettings
    path: Path
    changes: list[str]  # of settings, in words

    def write_down(self, processes_before: int, processes: int) -> None:
        """Says what is not as it was, on the screen and in the run's log."""
        changes = list(self.changes)
        if processes != processes_before:
            changes.append(f"processes from {processes_before} to {processes}")
        for change in changes:
            log.info("changed: %s", change)
            name = change.split()[0]
            if name in ("device", "threads", "processes", "memory_budget"):
                what = "number of processes" if name == "processes" else name
                log.warning("with another %s the run is no longer bit for bit the one never stopped", what)


def resumed_settings(config: DictConfig, overrides: Sequence[str]) -> Resumed:
    """The settings to go on with: the run's own, with the budgets that the command line gives.

    Args:
        config: composed from the command line; `resume` is the run directory.
        overrides: the command line's.

    Raises:
        CheckpointError: `resume` is no run directory.
        ConfigError: the command line changes what the run is; with each difference.
    """
    path = Path(str(config.resume))
    before = plain(run_settings(path))
    old, new = flat(before), flat(as_mapping(config))
    problems, changes = [], []
    for name in given_names(overrides, new):
        if name == "experiment" or name not in old or name not in new:
            problems.append(Problem(f"{name} cannot be given to a run under way", "leave it out"))
        elif name not in BUDGETS and old[name] != new[name]:
            problems.append(
                Problem(
                    f"{name}={shown(new[name])}, but the run has {name}={shown(old[name])}",
                    f"leave {name} out, or start a new run",
                )
            )
        elif name != "resume" and old[name] != new[name]:
            changes.append(f"{name} from {shown(old[name])} to {shown(new[name])}")
            put(before, name, new[name])
    if problems:
        raise ConfigError(*problems)
    return Resumed(train_settings(OmegaConf.create(before)), path, changes)


def given_names(overrides: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """The settings that overrides such as `steps=10` and `dataset=glyphs` are about, by their dotted names."""
    names = []
    for override in overrides:
        name = override.lstrip("+~").split("=")[0].split("@")[0]
        names += [other for other in values if other.startswith(f"{name}.")] if name in GROUPS else [name]
    return names


def put(nested: dict[str, Any], name: str, value: Any) -> None:
    """Sets a value in nested mappings by its dotted name."""
    *groups, last = name.split(".")
    for group in groups:
        nested = nested[group]
    nested[last] = value


def fingerprint(path: Path) -> str:
    """That of the data which a run began with."""
    return str(json.loads((path / IDENTITY).read_text(encoding="utf-8"))["fingerprint"])


def check_fingerprint(path: Path, dataset: Dataset, allow_changed: bool) -> None:
    """Whether the data is what the run began with.

    Raises:
        DataError: it has changed, and `allow_changed` is not given; with it, that is a warning.
    """
    before = fingerprint(path)
    if before == dataset.fingerprint:
        return
    what = (
        f"dataset '{dataset.name}' has changed since the run began: its fingerprint was {before[:12]}, "
        f"and is {dataset.fingerprint[:12]}"
    )
    if not allow_changed:
        raise DataError.of(what, "bring the data back as it was, start a new run, or give allow_changed_data=true")
    log.warning("%s", what)


def check_budget(path: Path, steps: int, done: int) -> None:
    """Whether there is anything left to do.

    Raises:
        ConfigError: fewer steps than are done, or the run is over.
    """
    if steps < done:
        raise ConfigError.of(f"steps={steps}, but the run has done {done}", f"use steps>={done}")
    if steps == done and (path / RESULT).exists():
        raise ConfigError.of(
            f"the run is over: its {done} steps are done, and {path / RESULT} is its result",
            f"use steps>{done} to train on, or metalstm-test run={path} to test it again",
        )
