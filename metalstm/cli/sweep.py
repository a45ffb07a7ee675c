"""`metalstm-train -m`: from a command line to its sweep, checked before its first job."""

from __future__ import annotations

import argparse
import os
import sys

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import OmegaConf

from metalstm.cli.arguments import config_flags, use_of_hydra
from metalstm.cli.boundary import ending_with_errors, lazily
from metalstm.config.compose import composed, our_configs, readable
from metalstm.config.hydra_errors import as_ours, config_problem
from metalstm.config.plugins import import_plugins, plugins_named
from metalstm.errors import ConfigError, MetalstmError
from metalstm.files.paths import expanded
from metalstm.sweeps.grid import combinations, job_names, sweep_name
from metalstm.sweeps.job import Job, Sweep

CONFIG_NAME = "train"


def run_sweep(given: argparse.Namespace) -> None:
    """Run the sweep; exit with the code of the first job that failed.

    Args:
        given: the command line as Hydra's parser reads it.
    """
    with ending_with_errors():
        sweep = read(given)
        code = lazily("metalstm.sweeps.sweep:carry_out")(sweep)
        if code != 0:
            sys.exit(code)


def check_sweep(given: argparse.Namespace) -> None:
    """Refuse what `run_sweep` would refuse before its first job; run nothing."""
    with ending_with_errors():
        sweep = read(given)
        print(f"checked   {len(sweep.jobs)} jobs are in order; nothing was trained, and no run begun")


def read(given: argparse.Namespace) -> Sweep:
    """As `planned`; Hydra, which refuses a command line by errors of every kind, is put in our words."""
    try:
        return planned(given)
    except MetalstmError:
        raise
    except Exception as raised:
        raise as_ours(raised, CONFIG_NAME) or ConfigError(config_problem(raised, CONFIG_NAME)) from raised


def planned(given: argparse.Namespace) -> Sweep:
    """Return the sweep that a command line asks for; nothing is written.

    Raises:
        ConfigError: a job would be refused, or one is there with other settings.
    """
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
    import_plugins(plugins_named(given.overrides, given.config_dir, given.config_name or CONFIG_NAME))
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
    check = lazily("metalstm.cli.sweep_checks:check")
    check(jobs, lambda overrides: composed(config_name, overrides, folder=given.config_dir), CONFIG_NAME)
    return Sweep(path, jobs, config, launched=not launcher.endswith(".BasicLauncher"))
