"""A run that is only checked: settings, place, data, learner and checkpoint, as far as training does not decide."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from metalstm.errors import ConfigError, MetalstmError
from metalstm.experiment import resume
from metalstm.experiment.console import describe
from metalstm.experiment.experiment import Experiment
from metalstm.experiment.session import check_best, place_of, warm_start
from metalstm.experiment.train import chosen_run
from metalstm.files.writing import check_writable
from metalstm.runs import layout
from metalstm.runs.checkpoint import LATEST

log = logging.getLogger(__name__)


def check_command(config: DictConfig) -> None:
    """Carry out `metalstm-train ... --check`: nothing is trained, and nothing is left behind.

    Raises:
        MetalstmError: what the run would be refused for, in one: an error of the first problem's kind.
    """
    settings, resumed = chosen_run(config, HydraConfig.get().overrides.task)
    refused: list[MetalstmError] = []
    experiment = None
    with noted(refused):
        experiment = Experiment.build(settings, resumed=None if resumed is None else resumed.path)
    if experiment is not None and resumed is None:
        with noted(refused):
            warm_start(experiment, None)
        with noted(refused):
            check_place(experiment)
    elif experiment is not None and resumed is not None:
        with noted(refused):
            check_resumed(experiment, resumed)
    if refused:
        raise type(refused[0])(*(problem for error in refused for problem in error.problems))
    assert experiment is not None
    describe(experiment)
    log.info("checked   all is in order; nothing was trained, and no run begun")


@contextmanager
def noted(refused: list[MetalstmError]) -> Iterator[None]:
    """Open a context whose refusal is added to the list, so that others are found as well."""
    try:
        yield
    except MetalstmError as error:
        refused.append(error)


def check_place(experiment: Experiment) -> None:
    """Whether the run's directory can be made, with room for its checkpoints.

    Raises:
        ConfigError: it cannot.
    """
    parent, _ = place_of(experiment, layout.named_by_hydra(HydraConfig.get().run.dir))
    try:
        check_writable(parent)
    except OSError as error:
        raise ConfigError.of(
            f"output_dir: {parent} cannot be written: {error.strerror or error}", "give output_dir=<a folder of yours>"
        ) from error


def check_resumed(experiment: Experiment, resumed: resume.Resumed) -> None:
    """Whether a run can be gone on with: its data, its checkpoints, and what is left to do.

    Raises:
        ConfigError, DataError, CheckpointError: it cannot.
    """
    settings = experiment.settings
    resume.check_fingerprint(resumed.path, experiment.dataset, settings.allow_changed_data)
    checkpoints = resume.checkpoints_of(resumed.path, settings)
    newest = checkpoints.newest(LATEST, experiment.device)
    resume.check_budget(resumed.path, settings.steps, 0 if newest is None else newest.step)
    check_best(checkpoints, experiment)
