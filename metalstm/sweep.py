"""`metalstm-train -m`: a run for each combination of the given values, and a summary over seeds.

A sweep's directory is named by its command and a job's by its values, so that the same command given again finds what
is there: jobs that are over are left as they are, half-done ones go on, and the rest is run.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from metalstm.arguments import config_flags, use_of_hydra
from metalstm.combinations import combinations, job_names, sweep_name
from metalstm.command import as_ours, config_problem, ending_with_errors
from metalstm.composition import composed, our_configs, readable
from metalstm.errors import ConfigError, MetalstmError
from metalstm.files import expanded
from metalstm.sweep_checks import check

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from metalstm.run.job import Job

log = logging.getLogger(__name__)

CONFIG_NAME = "train"


class Sweep(NamedTuple):
    """What a command asks for."""

    path: Path
    jobs: list[Job]
    config: DictConfig  # Hydra's own settings, the launcher's among them
    launched: bool  # whether it takes a launcher to run the jobs, or they run here one by one


def run_sweep(given: argparse.Namespace) -> None:
    """The command; exits with the code of the first job that failed.

    Args:
        given: the command line as Hydra's parser reads it.
    """
    with ending_with_errors():
        code = carry_out(read(given))
        if code != 0:
            sys.exit(code)


def read(given: argparse.Namespace) -> Sweep:
    """As `planned`; Hydra, which refuses a command line by errors of every kind, is put in our words."""
    try:
        return planned(given)
    except MetalstmError:
        raise
    except Exception as raised:
        raise as_ours(raised, CONFIG_NAME) or ConfigError(config_problem(raised, CONFIG_NAME)) from raised


def planned(given: argparse.Namespace) -> Sweep:
    """The sweep that a command line asks for; nothing is written.

    Raises:
        ConfigError: a job would be refused, or one is there with other settings.
    """
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    from metalstm.run.job import Job

    if given.config_path:
        raise ConfigError.of(
            f"--config-path={given.config_path} cannot be given with -m",
            "use --config-dir=<folder>, and --config-name=<name> for a command's config of your own",
        )
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise ConfigError.of(
            f"-m runs jobs of one process each, but WORLD_SIZE={os.environ['WORLD_SIZE']}",
            "give -m without torchrun, or each job's settings to torchrun without -m",
        )
    OmegaConf.register_new_resolver("sweep_name", sweep_name, replace=True)
    with our_configs(given.config_dir):
        loader = GlobalHydra.instance().config_loader()
        config_name = given.config_name or CONFIG_NAME
        lines = [*use_of_hydra(given), *readable(given.overrides, sweep=True)]
        config = loader.load_configuration(config_name, lines, run_mode=RunMode.MULTIRUN)
        if not config.hydra.sweeper._target_.endswith(".BasicSweeper"):
            raise ConfigError.of(
                f"hydra/sweeper={config.hydra.runtime.choices['hydra/sweeper']} is not supported", "leave it out"
            )
        params = config.hydra.sweeper.params or {}
        overrides = [f"{name}={value}" for name, value in params.items()] + list(config.hydra.overrides.task)
        combined = combinations(OverridesParser.create(loader).parse_overrides(overrides))
        path = expanded(config.hydra.sweep.dir, "hydra.sweep.dir", ConfigError)
        launcher = str(config.hydra.launcher._target_)
    names = job_names([swept for _, swept in combined])
    own = [line for line in config.hydra.overrides.hydra if "hydra.searchpath=" in line]
    flags = config_flags(given)
    jobs = [Job(path / name, (*own, *line), swept, flags) for name, (line, swept) in zip(names, combined, strict=True)]
    check(jobs, lambda overrides: composed(config_name, overrides, folder=given.config_dir), CONFIG_NAME)
    return Sweep(path, jobs, config, launched=not launcher.endswith(".BasicLauncher"))


def carry_out(sweep: Sweep) -> int:
    """Runs what is not over, and writes the summary; the first failed job's exit code, or 0."""
    from metalstm.launch import launch, one_by_one
    from metalstm.run.directory import start_log
    from metalstm.run.job import failure_of
    from metalstm.run.lock import RunLock

    start_log()
    try:
        sweep.path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # of a path that no system takes, a ValueError
        raise ConfigError.of(
            f"output_dir: {sweep.path} cannot be written: {getattr(error, 'strerror', None) or error}",
            "give output_dir=<a folder of yours>",
        ) from error
    with RunLock(sweep.path):
        over, begun = (sum(getattr(job, name) for job in sweep.jobs) for name in ("over", "begun"))
        log.info("sweep     %s", sweep.path)
        log.info("jobs      %d: %d over, %d half done", len(sweep.jobs), over, begun - over)
        if sweep.launched:
            launch(sweep.jobs, sweep.path, sweep.config)
        else:
            one_by_one(sweep.jobs)
        summarise(sweep)
    failures = [failure for job in sweep.jobs if (failure := failure_of(job)) is not None]
    return failures[0].exit_code if failures else 0


def summarise(sweep: Sweep) -> None:
    """Shows and writes the sweep's table."""
    from metalstm.files import write_atomically, writing
    from metalstm.reading import read_json
    from metalstm.reporting.sweeps import Outcome, as_csv, rows, table
    from metalstm.run.directory import RESULT
    from metalstm.run.job import failure_of

    outcomes = []
    for job in sweep.jobs:
        failure = failure_of(job)
        result = read_json(job.path / RESULT) if failure is None else None
        outcomes.append(Outcome(job.path.name, job.swept, result, None if failure is None else failure.reason))
    made = rows(outcomes)
    path = sweep.path / "summary.csv"
    log.info("%s", table(made))
    with writing(path):
        write_atomically(path, as_csv(made).encode("utf-8", errors="replace"))
    log.info("summary   %s", path)
