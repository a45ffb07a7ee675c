"""The commands that take settings: Hydra reads the command line, and the job runs on what it composes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

import hydra
from hydra._internal.utils import get_args_parser
from omegaconf import DictConfig, OmegaConf

from metalstm.cli.arguments import completed, parsed
from metalstm.cli.boundary import ending_with_errors, lazily
from metalstm.cli.help import asked_for, help_text
from metalstm.config.compose import readable
from metalstm.config.hydra_errors import as_ours, config_problem
from metalstm.config.own_configs import bound_configs
from metalstm.config.plugins import import_plugins, plugins_named
from metalstm.errors import ConfigError, MetalstmError, complain
from metalstm.sweeps.grid import sweep_name


def run_command(config_name: str, check: Callable[[DictConfig], object], job: str) -> None:
    """Compose the config and run the job on it; exit with the code of what goes wrong.

    Args:
        config_name: of the command, such as `train`.
        check: refuses a config without importing what takes its time.
        job: `module:function`, imported once the config has been checked.
    """
    with ending_with_errors():
        failure = run_once(config_name, check, job)
        if failure is not None:
            sys.exit(failure.exit_code)


def run_once(config_name: str, check: Callable[[DictConfig], object], job: str) -> MetalstmError | None:
    """As `run_command`; gives what went wrong, which has been said."""
    # Hydra would print its own errors, a traceback's end included; with this it raises them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    OmegaConf.register_new_resolver("sweep_name", sweep_name, replace=True)
    failure: MetalstmError | None = None
    unforeseen = False

    given = sys.argv

    def guarded(config: DictConfig) -> None:
        nonlocal failure, unforeseen
        sys.argv = given
        try:
            check(config)
            lazily(job)(config)
        except Exception as raised:
            failure = as_ours(raised, config_name)
            if failure is None:
                unforeseen = True
                raise
            complain(failure)

    try:
        if asked_for(sys.argv[1:]):
            print(help_text(config_name, sys.argv[1:]), end="", flush=True)
            return None
        if sweep_asked_for() or "hydra.mode=MULTIRUN" in sys.argv[1:]:
            failure = ConfigError.of(
                f"metalstm-{config_name} has no sweeps: it takes one value of each setting",
                "leave -m out, and start it once for each value; metalstm-train -m trains a sweep",
            )
            complain(failure)
            return failure
        try:
            own, _ = get_args_parser().parse_known_args(given[1:])
            import_plugins(
                plugins_named(own.overrides, own.config_dir or own.config_path, own.config_name or config_name)
            )
            sys.argv = [given[0], *completed(config_name, readable(given[1:]))]
        except MetalstmError as refused:
            complain(refused)
            return refused
        bound_configs()
        hydra.main(version_base="1.3", config_path="pkg://metalstm.configs", config_name=config_name)(guarded)()
    except Exception as raised:
        if unforeseen or isinstance(raised, BrokenPipeError):
            raise
        # All other errors are Hydra's, which refuses a command line by errors of every kind.
        failure = as_ours(raised, config_name) or ConfigError(config_problem(raised, config_name))
        complain(failure)
    finally:
        sys.argv = given
    return failure


def sweep_asked_for() -> argparse.Namespace | None:
    """Return the command line where it asks for a sweep and nothing else."""
    given = parsed(sys.argv[1:])
    other = (given.help, given.hydra_help, given.cfg, given.info, given.shell_completion, given.run)
    return given if given.multirun and not any(other) else None
