"""What a run begins with: a share for every process, a directory, and what is in one that it goes on in."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from metalstm.config.schema import TrainSettings
from metalstm.datasets.base import Dataset
from metalstm.errors import ConfigError
from metalstm.experiment import build, build_learner, identity, resume
from metalstm.experiment.memory_budget import settle_budget
from metalstm.experiment.warm_start import start_from
from metalstm.learners.base import Learner
from metalstm.runs import layout
from metalstm.runs.checkpoint import BEST, LATEST, Checkpoints, fitting
from metalstm.runs.layout import Place
from metalstm.runtime import device
from metalstm.runtime.processes import Processes
from metalstm.tracking.follow import check_installed


def learner_of(settings: TrainSettings, dataset: Dataset) -> Learner:
    """The learner that is to be trained.

    Raises:
        ConfigError: the data does not suffice for the tasks, or the learner does not go with it.
    """
    build.check_tasks_fit(settings, dataset, dataset.splits)
    return build_learner.make_learner(settings, dataset)


def check_start(settings: TrainSettings, dataset: Dataset, path: Path | None) -> None:
    """Refuse what a run of one process would refuse before its first step, once its data is there.

    Args:
        settings: of the run.
        dataset: its data.
        path: the directory of a run to go on with; None: it is new.

    Raises:
        ConfigError, DataError, CheckpointError: what the run would be refused for.
    """
    check_installed(settings.loggers)
    device.check_device(settings.device)
    device.use_budget(settings.device, settings.memory_budget)
    learner = learner_of(settings, dataset)
    settle_budget(learner, build.make_sampler(settings, dataset, "meta_train"), settings.memory_budget is not None)
    if path is not None:
        resume.check_fingerprint(path, dataset, settings.allow_changed_data)
    elif settings.start is not None:
        start_from(Path(settings.start), learner, dataset, torch.device(settings.device))


def begun(path: Path) -> bool:
    """Whether a run has a checkpoint, whole or broken, and so needs no start."""
    return bool(Checkpoints(path / layout.CHECKPOINTS, 1).paths(LATEST))


def new_run(settings: TrainSettings, dataset: Dataset, learner: Learner, place: Place | None) -> Path:
    """The directory of a new run, its config in it.

    Raises:
        ConfigError: there is no room for it, or no permission.
    """
    place = place or usual_place(settings)
    weights = sum(weight.nbytes for weight in learner.parameters())
    layout.check_room(place.parent, 3 * weights, settings.keep_checkpoints)  # Adam's two means are as large, each
    path = layout.new_run_directory(*place)
    identity.write_config(path, settings, dataset.fingerprint)
    return path


def usual_place(settings: TrainSettings) -> Place:
    """Where a run's directory goes: by dataset, task and learner, and named by the time."""
    task = f"{settings.ways}w{settings.shots}s"
    return Place(Path(settings.output_dir) / f"{settings.dataset.name}_{task}_{settings.learner.name}")


def check_best(checkpoints: Checkpoints, learner: Learner, device: torch.device) -> None:
    """Whether the best checkpoint so far, which may be meta-tested at the end, is one of this learner.

    Raises:
        CheckpointError: it is of another.
    """
    best = checkpoints.newest(BEST, device)
    if best is not None:
        with fitting(best):
            copy.deepcopy(learner).load_state_dict(best.state["learner"])


def check_shares(settings: TrainSettings, processes: Processes) -> None:
    """Whether every process has a share of a run.

    Raises:
        ConfigError: there are more processes than tasks in a meta-batch.
    """
    if processes.count > settings.meta_batch_size:
        error = ConfigError.of(
            f"meta_batch_size={settings.meta_batch_size}, but each of {processes.count} processes needs a task",
            f"use meta_batch_size>={processes.count}, or start no more than {settings.meta_batch_size}",
        )
        processes.refuse(error)
