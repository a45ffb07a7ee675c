"""From a composed config to typed settings, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from metalstm import registry
from metalstm.config.checks import at_odds
from metalstm.config.fields import path_names, typed
from metalstm.config.own_configs import check_references
from metalstm.config.plugins import import_plugins
from metalstm.config.schema import AdaptSettings, MetaTestSettings, TrainSettings
from metalstm.errors import ConfigError, Problem

# All settings that are paths, as the command lines name them.
PATHS = frozenset({"hydra.run.dir", "hydra.sweep.dir"}).union(
    *(path_names(schema) for schema in (TrainSettings, MetaTestSettings, AdaptSettings)),
    {"dataset.root"},
)
# A resumed run may change how long, how often, where and on what it runs, but not what it learns.
BUDGETS = frozenset(
    {
        *("steps", "log_every", "validate_every", "validation_tasks", "checkpoint_every", "keep_checkpoints"),
        *("test_tasks", "test_steps", "curve_steps", "scratch_tasks", "scratch_steps"),
        *(
            "logger",
            "device",
            "threads",
            "memory_budget",
            "output_dir",
            "resume",
            "allow_changed_data",
            "plugins",
            "dataset.root",
            "dataset.download",
        ),
    }
)


def train_settings(config: DictConfig) -> TrainSettings:
    """Return the settings in a composed config; see `checked`."""
    return checked(as_mapping(config))


def check_root(config: DictConfig) -> None:
    """Refuse settings at the root of a config that are out of bounds; no component is imported.

    Raises:
        ConfigError: with every problem found there.
    """
    values = {name: value for name, value in as_mapping(config).items() if name not in registry.GROUPS}
    problems: list[Problem] = []
    typed(TrainSettings, values, "", problems)
    if problems:
        raise ConfigError(*problems)


def checked(values: Mapping[str, Any]) -> TrainSettings:
    """Make typed settings of nested plain values.

    Raises:
        ConfigError: with every problem found: unknown and missing names, types, bounds, and settings at odds.
    """
    plain = dict(values)
    if isinstance(plugins := plain.get("plugins"), (str, list)):
        plain["plugins"] = import_plugins([plugins] if isinstance(plugins, str) else [str(one) for one in plugins])
    problems: list[Problem] = []
    groups = {}
    for group in registry.GROUPS:
        values = plain.pop(group, None)
        name = values.get("name") if isinstance(values, Mapping) else None
        if not isinstance(values, Mapping) or not isinstance(name, str) or name not in registry.names(group):
            known = ", ".join(registry.names(group))
            fix = f"choose {group}=one of {known}, or name the module that registers it: plugins=[...]"
            problems.append(Problem(f"{group}.name={name} is unknown", fix))
            continue
        groups[group] = typed(registry.settings_class(group, name), values, f"{group}.", problems)
    settings: TrainSettings = typed(TrainSettings, plain, "", problems, groups)
    if not problems:
        problems += at_odds(settings)
    if problems:
        raise ConfigError(*problems)
    return settings


def meta_test_settings(config: DictConfig) -> MetaTestSettings:
    """As `train_settings`, for `metalstm-test`."""
    problems: list[Problem] = []
    settings: MetaTestSettings = typed(MetaTestSettings, as_mapping(config), "", problems)
    if problems:
        raise ConfigError(*problems)
    return settings


def adapt_settings(config: DictConfig) -> AdaptSettings:
    """As `train_settings`, for `metalstm-adapt`."""
    problems: list[Problem] = []
    settings: AdaptSettings = typed(AdaptSettings, as_mapping(config), "", problems)
    if problems:
        raise ConfigError(*problems)
    return settings


def from_the_root(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings, nested or by their dotted names, with every path from the root."""
    return {
        name: from_the_root(value, f"{prefix}{name}.")
        if isinstance(value, Mapping)
        else os.path.abspath(os.path.expanduser(str(value)))
        if prefix + name in PATHS and value not in (None, "", "???")
        else value
        for name, value in settings.items()
    }


def as_mapping(config: DictConfig) -> dict[str, Any]:
    """Return the config's values with interpolations resolved; `???` stays where a value is missing."""
    try:
        written = OmegaConf.to_container(config, resolve=False)
        check_references(written if isinstance(written, dict) else {}, "the config")
        values = OmegaConf.to_container(config, resolve=True)
    except RecursionError as error:
        raise ConfigError.of(
            "the config is nested too deep", "start from the YAML files of metalstm.configs"
        ) from error
    if not isinstance(values, dict):
        raise ConfigError.of("the config is not a mapping", "start from the YAML files of metalstm.configs")
    return {str(name): value for name, value in values.items()}
