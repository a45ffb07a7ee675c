"""A run that has been trained, opened again: its data, and its learner as the best checkpoint has it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from metalstm.config.checks import any_ways, at_odds
from metalstm.config.schema import TrainSettings
from metalstm.config.text import command
from metalstm.datasets.base import Dataset
from metalstm.datasets.files.reader import Reader
from metalstm.errors import CheckpointError, ConfigError
from metalstm.experiment import build_learner, identity, resume
from metalstm.experiment.experiment import Experiment
from metalstm.learners.base import Learner
from metalstm.learners.inner_loop.optimizer_steps import OptimizerLearner
from metalstm.runs.checkpoint import BEST, LATEST, Checkpoint, Checkpoints, fitting
from metalstm.runs.result_file import picked_lr, trained_for
from metalstm.runtime.device import use_machine

log = logging.getLogger(__name__)


class Trained(NamedTuple):
    """A trained run: its experiment, its steps and its time."""

    path: Path
    experiment: Experiment
    best_step: int  # of the checkpoint that the learner is from
    steps: int  # trained so far
    seconds: float  # that they took
    pretraining_seconds: float  # that the run took which this one started from


def trained_run(
    path: Path, dataset_root: str | None, allow_changed_data: bool, plugins: Sequence[str] = (), **changes: Any
) -> Trained:
    """Read a run back, and prepares the machine for it.

    Args:
        path: the run directory.
        dataset_root: where its data is now; None: where it was.
        allow_changed_data: whether the data may be other than what the run began with.
        plugins: in place of those that the run names; none: the run's own.
        changes: settings that are not as the run's, such as the device.

    Raises:
        ConfigError: the changes do not fit.
        DataError: the data is missing or has changed.
        CheckpointError: no run, or one without a checkpoint that can be read.
    """
    trained_with = identity.run_settings(path, plugins)
    settings = dataclasses.replace(trained_with, **changes)
    problems = list(at_odds(settings))
    if problems:
        raise ConfigError(*problems)
    use_machine(settings.device, settings.threads, settings.memory_budget)
    dataset = open_dataset(path, settings, dataset_root, allow_changed_data)
    device = torch.device(settings.device)
    checkpoints = resume.checkpoints_of(path, trained_with)
    checkpoint = best_checkpoint(path, checkpoints, device)
    learner = build_learner.make_learner(settings, dataset)
    with fitting(checkpoint):
        learner.load_state_dict(checkpoint.state["learner"])
    log.info("run       %s, step %d", path, checkpoint.step)
    experiment = Experiment(settings, dataset, learner)
    return Trained(path, experiment, checkpoint.step, *trained_so_far(path, checkpoints, device))


def trained_so_far(path: Path, checkpoints: Checkpoints, device: torch.device) -> tuple[int, float, float]:
    """Return steps, seconds that they took, and seconds of the run that this one started from."""
    newest = checkpoints.newest(LATEST, device)
    if newest is None:  # of a run that is over its best checkpoint may have been kept alone
        return trained_for(path)
    with fitting(newest):
        return newest.step, float(newest.state["seconds"]), float(newest.state["pretraining_seconds"])


def open_dataset(path: Path, settings: TrainSettings, root: str | None, allow_changed: bool) -> Dataset:
    """Return the dataset of a run.

    Args:
        path: the run directory.
        settings: the run's; with another root they are changed.
        root: where the data is now; None: where it was.
        allow_changed: whether it may be another than the run began with.

    Raises:
        ConfigError: the dataset has no folder.
        DataError: it is missing, broken or has changed.
    """
    if root is not None:
        if "root" not in settings.dataset.values():
            raise ConfigError.of(
                f"dataset_root={root}, but dataset '{settings.dataset.name}' has no folder", "leave it out"
            )
        settings.dataset.root = root
    with resume.found_again(path, "dataset_root"):
        dataset: Dataset = settings.dataset.load()
    resume.check_fingerprint(path, dataset, allow_changed)
    return dataset


def reader_of(dataset: Dataset) -> Reader:
    """Return the reader of a person's own files.

    Raises:
        ConfigError: the dataset has none.
    """
    if dataset.reader is None:
        raise ConfigError.of(
            f"support is given, but dataset '{dataset.name}' cannot read files of your own",
            "give a run on images, recordings, tables or texts",
        )
    return dataset.reader


def learner_for(path: Path, settings: TrainSettings, dataset: Dataset, labels: int | None) -> Learner:
    """Return the run's learner at its best, for tasks of so many labels.

    Args:
        path: the run directory.
        settings: the run's.
        dataset: the run's.
        labels: of a task; None: as many as the run was trained for.

    Raises:
        ConfigError: it was trained for fewer.
        CheckpointError: there is no whole checkpoint.
    """
    name = settings.learner.name
    checkpoints = resume.checkpoints_of(path, settings)
    if settings.learner.any_ways and labels is not None:
        settings = dataclasses.replace(settings, ways=labels)
    elif labels is not None and labels > settings.ways:
        raise ConfigError.of(
            f"the support set has {labels} labels, but the run was trained for ways={settings.ways}",
            f"use at most {settings.ways} labels, or a run with more ways, or with learner=one of {any_ways()}",
        )
    device = torch.device(settings.device)
    checkpoint = best_checkpoint(path, checkpoints, device)
    learner = build_learner.make_learner(settings, dataset)
    with fitting(checkpoint):
        learner.load_state_dict(checkpoint.state["learner"])
    if isinstance(learner, OptimizerLearner) and learner.lr is None:
        learner.lr = picked_lr(path)
        if learner.lr is None:
            log.warning("the run has not picked its rate on meta-validation yet; a usual one is taken")
    log.info("run       %s, step %d, learner %s", path, checkpoint.step, name)
    return learner


def best_checkpoint(path: Path, checkpoints: Checkpoints, device: torch.device) -> Checkpoint:
    """Return the best checkpoint of a run, or the newest where that is gone.

    Raises:
        CheckpointError: there is none, or none is whole.
    """
    best = checkpoints.newest(BEST, device)
    if best is None:
        log.warning("the best checkpoint is gone; the newest one is taken")
    checkpoint = best or checkpoints.newest(LATEST, device)
    if checkpoint is None:
        raise CheckpointError.of(
            f"{path} has no checkpoint yet", f"go on with it: {command('metalstm-train', resume=path)}"
        )
    return checkpoint
