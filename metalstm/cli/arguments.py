"""The command line: its flags, and its settings as Hydra is to read them, on top of the run that it goes on with."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from metalstm.cli.boundary import version_option
from metalstm.config.own_configs import own_yaml
from metalstm.config.plugins import plugins_named
from metalstm.config.text import name_of
from metalstm.errors import ConfigError
from metalstm.experiment.identity import run_settings
from metalstm.files.paths import expanded
from metalstm.registry import GROUPS

# As `configs/hydra.yaml` has it, for a config that is made without it, such as a run's `config.yaml`.
HYDRA = (
    "hydra.run.dir=.",
    "hydra.sweep.dir='${oc.select:output_dir,outputs}/sweeps/${sweep_name:${hydra.overrides.task}}'",
    *("hydra.output_subdir=null", "hydra/job_logging=none", "hydra/hydra_logging=none"),
)


def completed(config_name: str, arguments: Sequence[str]) -> list[str]:
    """Return a command's arguments, with those that they leave to be understood.

    Args:
        config_name: the command, such as `train`.
        arguments: as they were given, flags among them.

    Raises:
        CheckpointError: the run to go on with is none.
        ConfigError: its config, or one that a flag names, cannot be used.
    """
    given, _ = get_args_parser().parse_known_args(arguments)
    more = use_of_hydra(given)
    if config_name == "train":
        more += run_choices(given.overrides)
    at = list(arguments).index(given.overrides[0]) if given.overrides else len(arguments)
    return [*arguments[:at], *more, *arguments[at:]]


def use_of_hydra(given: argparse.Namespace) -> list[str]:
    """How the commands use Hydra, where neither the command line nor a config of a person's own says it.

    Raises:
        ConfigError: the config is too large or broken.
    """
    config = None if given.config_name is None else own_config(given, given.config_name)
    if config is None or {"defaults", "hydra"} & set(config):
        return []
    return [one for one in HYDRA if name_of(one) not in map(name_of, given.overrides)]


def own_config(given: argparse.Namespace, name: str) -> dict[str, object] | None:
    """Return a config in the folder that `--config-dir` or `--config-path` names; None: it is not there."""
    folder = given.config_dir or given.config_path
    file = Path(f"{folder}/{name.removesuffix('.yaml')}.yaml")
    config = own_yaml(file) if folder and file.is_file() else None
    return config if isinstance(config, dict) else None


def run_choices(overrides: Sequence[str]) -> list[str]:
    """Return the choices of groups that the run to go on with was made with, but for those that are given.

    Raises:
        CheckpointError: it is no run.
        ConfigError: its config is not as the run wrote it.
    """
    named = list(resumed(overrides))
    if not named:
        return []

    settings = run_settings(expanded(named[-1], "resume", ConfigError), plugins_named(overrides))
    given = set(map(name_of, overrides))
    return [f"{group}={getattr(settings, group).name}" for group in GROUPS if group not in given]


def resumed(overrides: Sequence[str]) -> Iterator[str]:
    """Yield the run directories that overrides name to go on with; what Hydra will refuse is left to it."""
    parser = OverridesParser.create()
    for override in overrides:
        if name_of(override) == "resume" and not override.startswith("~"):
            try:
                value = parser.parse_override(override).value()
            except HydraException:
                continue
            if isinstance(value, (str, int, float)) and value != "" and "${" not in str(value):
                yield str(value)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Read a command line; one that Hydra has no flags for ends the process, as usual."""
    parser: argparse.ArgumentParser = get_args_parser()
    version_option(parser)
    return parser.parse_intermixed_args(arguments)  # settings may stand around flags


def config_flags(given: argparse.Namespace) -> tuple[str, ...]:
    """Give the flags that say where another process composes from."""
    folder = None if given.config_dir is None else Path(given.config_dir).absolute()
    flags = {"--config-dir": folder, "--config-name": given.config_name}
    return tuple(f"{flag}={value}" for flag, value in flags.items() if value is not None)
