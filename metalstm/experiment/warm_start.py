"""Meta-training that starts from the model of another run: first classify, then meta-learn (Chen et al. 2021)."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from metalstm.datasets.base import Dataset
from metalstm.errors import CheckpointError, ConfigError, Problem
from metalstm.experiment import identity, resume
from metalstm.experiment.restore import best_checkpoint, trained_so_far
from metalstm.learners.base import Learner
from metalstm.nn.base import HEAD, Model
from metalstm.runs.checkpoint import Checkpoint, fitting

log = logging.getLogger(__name__)


def start_from(path: Path, learner: Learner, dataset: Dataset, device: torch.device) -> float:
    """Give a learner's model the weights of a run's best checkpoint.

    Not those of the head, unless an output means the same in all tasks: it told other classes apart.

    Args:
        path: the run directory.
        learner: whose model is overwritten.
        dataset: that it is to be trained on.
        device: where the weights go.

    Returns:
        How many seconds that run was trained.

    Raises:
        CheckpointError: no run, or one without a checkpoint that can be read.
        ConfigError: its model has other weights, or it has seen the same dataset split in another way.
    """
    settings = identity.run_settings(path)
    if settings.dataset.name != dataset.name:
        log.warning("start     %s was trained on dataset '%s'", path, settings.dataset.name)
    elif identity.fingerprint(path) != dataset.fingerprint:
        raise ConfigError.of(
            f"init_from={path} was trained on other data of dataset '{dataset.name}', or on another split of it, which "
            "may have the classes to be tested on",
            "give the same dataset settings as that run's",
        )
    left_out = () if dataset.same_outputs else HEAD
    checkpoints = resume.checkpoints_of(path, settings)
    checkpoint = best_checkpoint(path, checkpoints, device)
    own = {name: weight for name, weight in model_of(learner).named_parameters() if name not in left_out}
    there = {name: weight for name, weight in model_weights(checkpoint).items() if name not in left_out}
    with fitting(checkpoint):
        shapes, wanted = ({name: tuple(w.shape) for name, w in weights.items()} for weights in (there, own))
    if shapes != wanted:
        raise ConfigError(
            *(
                Problem(
                    f"init_from={path} does not fit this model: {name} {differing(shapes.get(name), wanted.get(name))}",
                    "give the same model and dataset settings as that run's",
                )
                for name in sorted(shapes.keys() | wanted.keys())
                if shapes.get(name) != wanted.get(name)
            )
        )
    with torch.no_grad():
        for name, weight in own.items():
            weight.copy_(there[name])
    log.info("start     %s, %s, step %d", path, settings.learner.name, checkpoint.step)
    _, seconds, before = trained_so_far(path, checkpoints, device)
    return seconds + before


def differing(there: tuple[int, ...] | None, wanted: tuple[int, ...] | None) -> str:
    """Say how a weight's shape there differs from the shape wanted; None: there is no such weight."""
    if wanted is None:
        return f"has shape {there} there, but this model has none"
    return f"is missing there, expected shape {wanted}" if there is None else f"has shape {there}, expected {wanted}"


def model_of(learner: Learner) -> Model:
    """Return the one model of a learner."""
    return next(module for module in learner.modules() if isinstance(module, Model))


def model_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the weights of the model in a checkpoint.

    Raises:
        CheckpointError: there is no model in it.
    """
    state = checkpoint.state["learner"]
    with fitting(checkpoint):
        for prefix in ("model.", "encoder."):  # as learners call it
            found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
            if found:
                return found
    raise CheckpointError.of(f"checkpoint {checkpoint.path} has no model", "start from a run of another learner")
