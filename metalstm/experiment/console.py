"""The lines that a run prints before it starts, and the commands that it offers when it is over."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from metalstm.config.schema import TrainSettings
from metalstm.config.text import command
from metalstm.datasets.base import Dataset
from metalstm.experiment.experiment import Experiment
from metalstm.nn.kernel import compiled
from metalstm.tasks.repeats import empty_data
from metalstm.tracking.base import TrackedRun
from metalstm.tracking.follow import look
from metalstm.training.meta_trainer import MetaTrainer

log = logging.getLogger(__name__)


def introduce(experiment: Experiment, training: MetaTrainer, run: TrackedRun) -> None:
    """Say what will happen."""
    settings = experiment.settings
    log.info("run       %s", run.path)
    describe(experiment)
    for name in settings.loggers:
        log.info("tracked   %s", look(name, run))
    log.info("meta-train from step %d to %d, %s", training.step, settings.steps, plan(settings))


def describe(experiment: Experiment) -> None:
    """Say what a run is made of."""
    settings, dataset = experiment.settings, experiment.dataset
    parameters = sum(one.numel() for one in experiment.learner.parameters() if one.requires_grad)
    log.info("task      %s", task(settings, dataset))
    log.info("dataset   %s", dataset.description)
    for line in dataset.details:
        log.info("          %s", line)
    for line in empty_data(dataset.splits):
        log.warning("%s", line)
    model = f"{settings.model.name} as its model"
    log.info("learner   %s, %s, %s meta-parameters", settings.learner.name, model, f"{parameters:,}")
    together = f"{experiment.processes.count} processes on " if experiment.processes.count > 1 else ""
    threads = torch.get_num_threads()
    log.info("machine   %s%s, %d threads, %s", together, settings.device, threads, compiled.describe())


def task(settings: TrainSettings, dataset: Dataset) -> str:
    """Return a task's shape: what is learned from, and what is asked."""
    if dataset.kind == "regression":
        what, each = f"{settings.shots}-shot regression", ""
    else:
        what, each = f"{settings.ways}-way {settings.shots}-shot classification", " a class"
    in_training = f"{settings.train_queries} in meta-training"
    if settings.train_ways is not None:
        in_training += f", which is {settings.train_ways}-way"
    return f"{what}, {settings.queries} queries{each} ({in_training})"


def plan(settings: TrainSettings) -> str:
    """Return what is done in a step, between steps and after the last one."""
    parts = [
        f"{settings.meta_batch_size} tasks a step",
        f"meta-validation every {settings.validate_every}",
        f"then meta-test on {settings.test_tasks} tasks" if settings.test_tasks else "no meta-test",
    ]
    if settings.test_tasks and settings.scratch_tasks:
        parts.append(f"{settings.scratch_tasks} of them from scratch as well")
    return ", ".join(parts)


def conclude(experiment: Experiment, path: Path) -> None:
    """Say what may be done with a finished run."""
    settings, dataset = experiment.settings, experiment.dataset
    if not settings.test_tasks:
        log.info("next      %s", command("metalstm-train", resume=path, test_tasks=600))
        return
    log.info("next      %s", command("metalstm-test", run=path, tasks=1000))
    if dataset.reader is not None:
        log.info("          %s support=<folder> query=<folder>", command("metalstm-adapt", run=path))
    log.info("          %s <another run>", command("metalstm-report", path))
