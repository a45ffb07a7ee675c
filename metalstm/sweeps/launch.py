"""Running a sweep's jobs: one after the other, or by a launcher of Hydra's."""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import HydraContext
from omegaconf import OmegaConf

from metalstm.config.compose import our_configs
from metalstm.config.text import command_line, quoted, shell
from metalstm.errors import ConfigError, Interrupted, MetalstmError, Problem, complain
from metalstm.runtime.signal_names import BY_NAME, handled
from metalstm.runtime.signals import Interruption
from metalstm.sweeps.job import Job, Owner, errors_of, failure_of, run_job

log = logging.getLogger(__name__)

WATCH = 0.5  # seconds between looks at whether the sweep is there


def again() -> str:
    """How to go on with a sweep."""
    return f"give the same command again to go on: {shell(*command_line())}"


def one_by_one(jobs: Sequence[Job]) -> None:
    """Run the jobs that are not over, one after the other.

    Raises:
        Interrupted: a signal has ended the one that was running, at a step boundary.
    """
    with Interruption() as interruption:
        for number, job in enumerate(jobs):
            if job.over:
                continue
            log.info("job %d/%d   %s", number + 1, len(jobs), job.path.name)
            run_job(job, Path.cwd(), interruption)
            interruption.raise_if_interrupted("the sweep was stopped", again())
            say_failure(number, job)


def launch(jobs: Sequence[Job], folder: Path, config: Any) -> None:
    """Has a launcher run the jobs that are not over.

    Args:
        jobs: all of the sweep.
        folder: the sweep's.
        config: Hydra's own settings, the launcher's among them.

    Raises:
        Interrupted: by a signal; jobs may go on from their last checkpoints.
    """
    left = [job._replace(path=job.path.absolute()) for job in jobs if not job.over]
    if not left:
        return
    own = [source.path for source in config.hydra.runtime.config_sources if source.provider == "command-line"]
    with our_configs(*own), stopped_by_signals():
        config.hydra.sweep.dir = str(folder.absolute())
        use_no_more_workers(config.hydra.launcher, len(left))
        at = f"hydra.sweep.dir={quoted(config.hydra.sweep.dir)}"
        try:
            launcher = Plugins.instance().instantiate_launcher(
                hydra_context=HydraContext(config_loader=GlobalHydra.instance().config_loader(), callbacks=Callbacks()),
                task_function=Launched(left, Path.cwd(), owner(config.hydra.launcher)),
                config=config,
            )
            launcher.launch([[*job.overrides, at, f"hydra.sweep.subdir={job.path.name}"] for job in left], 0)
        except MetalstmError:
            raise
        except Exception as error:
            # The summary says which jobs it could not run.
            complain(ConfigError.of(f"the launcher failed: {type(error).__name__}: {error}", "see its settings"))
    for number, job in enumerate(jobs):
        say_failure(number, job)


def owner(launcher: Any) -> Owner | None:
    """Return the process that the jobs of a launcher end with; None: they are a cluster's, whose queue outlives it."""
    elsewhere = "Slurm" in launcher._target_ or OmegaConf.select(launcher, "ray.init.address") is not None
    return None if elsewhere else Owner.here()


def use_no_more_workers(launcher: Any, jobs: int) -> None:
    """Start no more processes of joblib than there are jobs: one that has had none does not know its sweep."""
    if "n_jobs" in launcher:
        from joblib import effective_n_jobs

        launcher.n_jobs = min(effective_n_jobs(launcher.n_jobs), jobs)


class Launched:
    """The function that a launcher runs in its workers, as Hydra's task function: the job of a number.

    Args:
        jobs: those that are launched, with paths from the root.
        cwd: the command's working directory.
        owner: the sweep, where the workers and their jobs are to end with it.
    """

    def __init__(self, jobs: Sequence[Job], cwd: Path, owner: Owner | None) -> None:
        self.jobs = jobs
        self.cwd = cwd
        self.owner = owner

    def __call__(self, config: Any) -> None:

        if self.owner is not None:
            end_with(self.owner)
        with AT_WORK:
            run_job(self.jobs[HydraConfig.get().job.num], self.cwd, quiet=True, owner=self.owner)


AT_WORK = threading.Lock()  # held while a worker has a job


@functools.cache
def end_with(owner: Owner) -> None:
    """End this worker when its sweep is gone, however that ended, and its job has."""

    def watch() -> None:
        while not owner.gone:
            time.sleep(WATCH)
        with AT_WORK:
            os._exit(128 + signal.SIGTERM)  # whoever would hear of it is gone

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Open a context that SIGINT, SIGTERM and SIGHUP end with `Interrupted`."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number, Problem(f"the sweep was stopped by {signal.Signals(number).name}", again()))

    before = {number: signal.signal(number, stop) for number in handled() if number in BY_NAME}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say_failure(number: int, job: Job) -> None:
    """Show on standard error what a failed job has written there."""
    failure = failure_of(job)
    if failure is not None:
        said = errors_of(job.path).strip() or f"error: {failure.reason}\n  fix: see {job.path / 'train.log'}"
        sys.stderr.write(f"job {number} ({' '.join(job.overrides)}) failed\n{said}\n")
