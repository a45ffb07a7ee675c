"""Going on with a run: the command line may change its budgets, and what would change its meaning is refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig

from metalstm.config.old_names import renamed
from metalstm.config.parse import BUDGETS, as_mapping, checked, from_the_root
from metalstm.config.schema import TrainSettings
from metalstm.config.text import command, flat, name_of, plain, shown, unlike
from metalstm.datasets.base import Dataset
from metalstm.errors import ConfigError, DataError, Problem
from metalstm.experiment.identity import NOT_KEPT, check_unedited, fingerprint, kept, run_settings
from metalstm.files.paths import expanded
from metalstm.registry import GROUPS
from metalstm.runs.checkpoint import Checkpoint, Checkpoints
from metalstm.runs.layout import CHECKPOINTS, CONFIG, RESULT
from metalstm.runs.lock import RunLock
from metalstm.training.meta_trainer import MetaTrainer

log = logging.getLogger(__name__)


class Resumed(NamedTuple):
    """A run to go on with."""

    settings: TrainSettings
    path: Path
    before: dict[str, Any]  # the settings in its config, by their dotted names
    changes: list[str]  # of settings, in words

    def write_down(self, checkpoint: Checkpoint | None, training: MetaTrainer) -> None:
        """Says what is not as it was, on the screen and in the run's log.

        Args:
            checkpoint: that the run goes on from.
            training: as it goes on.
        """
        made_with = {} if checkpoint is None else renamed(checkpoint.settings)
        changes = [f"{change(name, made_with, self.before)}, in {CONFIG}" for name in unlike(self.before, made_with)]
        changes += self.changes
        if training.processes_before != training.processes.count:
            changes.append(f"processes from {training.processes_before} to {training.processes.count}")
        if checkpoint is not None and (jump := training.outer.jump(checkpoint.step)) is not None:
            changes.append(
                f"the learning rate from {jump[0]:.3g} at step {checkpoint.step} to {jump[1]:.3g} at the next: "
                f"outer_schedule={self.settings.outer_schedule} goes on to step {self.settings.steps}"
            )
        for said in changes:
            log.info("changed: %s", said)
            name = said.split()[0]
            if name in ("device", "threads", "processes", "memory_budget"):
                what = f"number of {name}" if name in ("threads", "processes") else name
                log.warning("with another %s the run is no longer bit for bit the one never stopped", what)


def change(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return a setting's change in words."""
    return f"{name} from {shown(old[name])} to {shown(new[name])}"


def resumed_settings(config: DictConfig, overrides: Sequence[str]) -> Resumed:
    """Return the settings to go on with: the run's own, with the budgets that the command line gives.

    Args:
        config: composed from the command line and the run's own choices of groups; `resume` is the run directory.
        overrides: the command line's.

    Raises:
        CheckpointError: `resume` is no run directory.
        ConfigError: the command line changes what the run is; with each difference.
    """
    path = expanded(config.resume, "resume", ConfigError)
    before = from_the_root(plain(run_settings(path, config.plugins or ())))
    old, new = flat(before), flat(from_the_root(as_mapping(config)))
    problems, changes = [], []
    for name in given_names(overrides, old, new):
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
            changes.append(change(name, old, new))
            put(before, name, new[name])
    if problems:
        raise ConfigError(*problems)
    return Resumed(checked(before), path, old | NOT_KEPT, changes)


def given_names(overrides: Sequence[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the settings that overrides such as `steps=10` and `dataset=glyphs` are about, by their dotted names.

    A choice of a group that the run has made as well is about nothing else: its settings are the run's own.
    """
    names: list[str] = []
    for override in overrides:
        name = name_of(override)
        if name not in GROUPS:
            names.append(name)
        elif old[f"{name}.name"] == new.get(f"{name}.name"):
            names.append(f"{name}.name")
        else:
            names += [other for other in new if other.startswith(f"{name}.")]
    return names


def put(nested: dict[str, Any], name: str, value: Any) -> None:
    """Set a value in nested mappings by its dotted name."""
    *groups, last = name.split(".")
    for group in groups:
        nested = nested[group]
    nested[last] = value


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
            f"use steps>{done} to train on, or {command('metalstm-test', run=path)} to test it again",
        )


def checkpoints_of(path: Path, settings: TrainSettings, held: RunLock | None = None) -> Checkpoints:
    """Return the checkpoints of a run: each is written with its settings, and refused where it was made with others.

    Args:
        path: the run directory.
        settings: the run's; of a run that is tested on other tasks those that it was trained with.
        held: the run, where this process writes into it.
    """
    own = kept(settings)

    def check(checkpoint: Checkpoint) -> None:
        check_unedited(path, own, renamed(checkpoint.settings), f"checkpoint {checkpoint.path.name} was made with")

    return Checkpoints(path / CHECKPOINTS, settings.keep_checkpoints, own, check, held)


@contextmanager
def found_again(path: Path | None, setting: str) -> Iterator[None]:
    """Open a context in which a run's data is read.

    Whatever is wrong with it names the run and how to say where it is now.

    Args:
        path: the run directory; None: of a new run, whose messages are the dataset's own.
        setting: by which the command in question is told of another folder.

    Raises:
        DataError: as the dataset does.
    """
    try:
        yield
    except DataError as error:
        if path is None:
            raise
        *others, last = (
            Problem(what, fix.replace("dataset.root", f"{setting}=<folder>")) for what, fix in error.problems
        )
        elsewhere = f"{last.fix}; if the data of run {path} lies elsewhere now, give {setting}=<its folder>"
        raise DataError(*others, last._replace(fix=elsewhere)) from error


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
