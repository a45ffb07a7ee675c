"""Refuse a sweep before its first job for whatever one of its jobs would be refused for, data included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig

from metalstm.cli.boundary import lazily
from metalstm.config.hydra_errors import in_our_words
from metalstm.config.parse import from_the_root, train_settings
from metalstm.config.schema import TrainSettings
from metalstm.config.text import flat, plain, shown
from metalstm.errors import CheckpointError, ConfigError, DataError, MetalstmError, Problem
from metalstm.experiment.identity import config_values
from metalstm.files.reading import Unreadable
from metalstm.sweeps.job import Job

NOT_COMPARED = {"resume", "allow_changed_data", "output_dir"}  # settings of a start or a place: a run may have others


class Refusals:
    """The problems that jobs are refused for, each once.

    Args:
        jobs: how many there are.
        config_name: of the command, such as `train`.
    """

    def __init__(self, jobs: int, config_name: str) -> None:
        self.jobs = jobs
        self.config_name = config_name
        self.found: dict[Problem, list[str]] = {}
        self.first: type[MetalstmError] | None = None

    @contextmanager
    def of(self, *jobs: Job) -> Iterator[None]:
        """Open a context in which jobs are checked."""
        try:
            with in_our_words(self.config_name):
                yield
        except (ConfigError, DataError, CheckpointError) as error:
            self.first = self.first or type(error)
            for problem in error.problems:
                self.found.setdefault(problem, []).extend(job.path.name for job in jobs)

    def say(self) -> None:
        """Raise an error of the first one's kind with every problem, if there is any."""
        if self.first is None:
            return
        problems = []
        for (what, fix), names in self.found.items():
            where = f" (job {names[0]})" if len(names) == 1 else f" ({len(names)} of {self.jobs} jobs)"
            problems.append(Problem(what if len(names) == self.jobs else what + where, fix))
        raise self.first(*problems)


def check(jobs: Sequence[Job], compose: Callable[[Sequence[str]], DictConfig], config_name: str) -> None:
    """Whether each job's settings are in order, those of the run in its directory, if there is one, and its data.

    Args:
        jobs: of the sweep.
        compose: gives the config of a job's overrides.
        config_name: of the command.

    Raises:
        ConfigError, DataError, CheckpointError: with every problem, and the job that has it where not all do.
    """
    refusals = Refusals(len(jobs), config_name)
    left: list[tuple[Job, TrainSettings]] = []
    for job in jobs:
        with refusals.of(job):
            settings = checked_settings(job, compose)
            left += [] if job.over else [(job, settings)]
    refusals.say()
    lazily("metalstm.cli.sweep_data:check_data")(left, refusals)


def checked_settings(job: Job, compose: Callable[[Sequence[str]], DictConfig]) -> TrainSettings:
    """Return a job's settings, which those of the run in its directory must agree with."""
    settings = train_settings(compose(job.overrides))
    if settings.resume is not None:
        raise ConfigError.of(
            f"resume={settings.resume} cannot be given with -m",
            "leave it out: a sweep's command given again goes on with what is not done",
        )
    if settings.test_tasks == 0:
        raise ConfigError.of("test_tasks=0, but a sweep compares results of meta-test", "use test_tasks>=2")
    new, old = flat(from_the_root(plain(settings))), settings_there(job)
    differences = [name for name in old if name in new and name not in NOT_COMPARED and old[name] != new[name]]
    if differences:
        listed = ", ".join(f"{name}={shown(old[name])}" for name in differences)
        raise ConfigError.of(
            f"{job.path} has a run with other settings: {listed}", "remove it, or give another hydra.sweep.dir"
        )
    return settings


def settings_there(job: Job) -> dict[str, Any]:
    """Return the settings of the run in a job's directory; none where there is no run, or it cannot be read."""
    try:
        return flat(from_the_root(config_values(job.path)))
    except Unreadable:
        return {}
