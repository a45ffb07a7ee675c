"""What a run says before it starts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch

from metalstm.nn import compiled
from metalstm.tracking.base import TrackedRun
from metalstm.tracking.follow import look

if TYPE_CHECKING:
    from metalstm.config import TrainSettings
    from metalstm.datasets.base import Dataset
    from metalstm.run.loop import MetaTraining

log = logging.getLogger(__name__)


def introduce(settings: TrainSettings, dataset: Dataset, training: MetaTraining, run: TrackedRun) -> None:
    """Says what will happen."""
    parameters = sum(parameter.numel() for parameter in training.learner.parameters())
    log.info("run       %s", run.path)
    log.info("dataset   %s", dataset.description)
    for line in dataset.details:
        log.info("          %s", line)
    log.info("learner   %s, %s meta-parameters", settings.learner.name, f"{parameters:,}")
    together = f"{training.processes.count} processes on " if training.processes.count > 1 else ""
    threads = torch.get_num_threads()
    log.info("machine   %s%s, %d threads, %s", together, settings.device, threads, compiled.describe())
    log.info("meta-train from step %d to %d, %d tasks a step", training.step, settings.steps, settings.meta_batch_size)
    for name in settings.loggers:
        log.info("tracked   %s", look(name, run))
