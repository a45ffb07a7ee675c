"""A run that has been trained, opened again: its data, and its best checkpoint."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from metalstm import assembly
from metalstm.config import TrainSettings
from metalstm.datasets.base import Dataset
from metalstm.errors import CheckpointError, ConfigError
from metalstm.run import resume
from metalstm.run.checkpoint import BEST, LATEST, Checkpoint, Checkpoints

log = logging.getLogger(__name__)


def open_dataset(path: Path, settings: TrainSettings, root: str | None, allow_changed: bool) -> Dataset:
    """The dataset of a run.

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
        if not hasattr(settings.dataset, "root"):
            raise ConfigError.of(
                f"dataset_root={root}, but dataset '{settings.dataset.name}' has no folder", "leave it out"
            )
        settings.dataset.root = root
    dataset = assembly.make_dataset(settings.dataset)
    resume.check_fingerprint(path, dataset, allow_changed)
    return dataset


def best_checkpoint(path: Path, checkpoints: Checkpoints, device: torch.device, what: str) -> Checkpoint:
    """The best checkpoint of a run, or the newest where that is gone.

    Raises:
        CheckpointError: there is none, or none is whole.
    """
    best = checkpoints.newest(BEST, device)
    if best is None:
        log.warning("the best checkpoint is gone; the newest one is %s", what)
    checkpoint = best or checkpoints.newest(LATEST, device)
    if checkpoint is None:
        raise CheckpointError.of(f"{path} has no checkpoint yet", f"go on with it: metalstm-train resume={path}")
    return checkpoint
