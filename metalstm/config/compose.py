"""A config composed from overrides, in the words of the command line but without one: for Python, and for messages."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hydra import compose, version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, SearchPathException
from omegaconf import DictConfig, OmegaConf

from metalstm.config.old_names import renamed_override
from metalstm.config.own_configs import bound_configs
from metalstm.config.parse import PATHS
from metalstm.config.plugins import import_plugins, plugins_named
from metalstm.config.text import PLAIN, flat, in_quotes, quoted
from metalstm.errors import ConfigError
from metalstm.files.paths import expanded


@contextmanager
def our_configs(folder: str | None = None, main: str | None = None) -> Iterator[None]:
    """Open a context in which Hydra composes from `metalstm.configs`, whatever it is in use for outside of it.

    Args:
        folder: configs of a person's own, beside these: `--config-dir`.
        main: in place of these: `--config-path`.

    Raises:
        SearchPathException: there is no such folder.
    """
    version.setbase("1.3")
    bound_configs()
    path = create_config_search_path(main or "pkg://metalstm.configs")
    if folder is not None:
        folder = os.path.abspath(folder)
        if not os.path.isdir(folder):
            raise SearchPathException(f"Additional config directory '{folder}' not found")  # as Hydra itself says it
        path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        Hydra.create_main_hydra2("app", path)
        yield
    finally:
        GlobalHydra.instance().hydra = before


def composed(
    config_name: str,
    overrides: Sequence[str],
    with_hydra: bool = False,
    folder: str | None = None,
    main: str | None = None,
) -> DictConfig:
    """Return the config that a command has from such a command line.

    Args:
        config_name: the command, such as `train`.
        overrides: as on the command line, e.g. `ways=5`.
        with_hydra: also Hydra's own part, under `hydra`.
        folder, main: as in `our_configs`.

    Raises:
        HydraException, OmegaConfBaseException: as the command meets them; `command.as_ours` says them in our words.
    """
    import_plugins(plugins_named(overrides, folder, config_name))
    with our_configs(folder, main):
        return compose(config_name, readable(overrides), return_hydra_config=with_hydra)


def readable(overrides: Sequence[str], sweep: bool = False) -> list[str]:
    """Return overrides as Hydra can read them: a path that its grammar would refuse, cut or count is put in quotes.

    Args:
        overrides: as they were given; options among them stay as they are.
        sweep: whether commas part several values; otherwise they belong to a path.
    """
    today = map(renamed_override, overrides)
    return [readable_path(one, sweep) if one.split("=")[0].lstrip("+") in PATHS else one for one in today]


def readable_path(override: str, sweep: bool) -> str:
    """As `readable`, of a setting that is a path."""
    name, _, value = override.partition("=")
    if PLAIN.fullmatch(value):
        return override
    understood = as_understood(value)
    if understood is None and sweep and not {"'", '"'} & set(value):
        return f"{name}={','.join(part if as_understood(part) else in_quotes(part) for part in value.split(','))}"
    if (
        value != value.strip()
        or understood is None
        or not ((understood.is_sweep_override() and sweep) or is_text(understood))
    ):
        override = f"{name}={in_quotes(value)}"
    bare = value.strip("'\"")
    if name.startswith("hydra.") and bare.startswith("~"):  # Hydra makes this folder itself
        return f"{name}={quoted(str(expanded(bare, name, ConfigError)))}"
    return override


def as_understood(value: str) -> Override | None:
    """Return a value as Hydra's grammar has it; None: it has none."""
    try:
        return OverridesParser.create().parse_override(f"path={value}")
    except HydraException:
        return None


def is_text(override: Override) -> bool:
    """Whether a value is a text, or null; not a number, a list or several values."""
    return not override.is_sweep_override() and isinstance(override.value(), (str, type(None)))


def setting_names(config_name: str) -> list[str]:
    """All settings and groups of a command, as the command line names them."""
    values = OmegaConf.to_container(composed(config_name, []))
    assert isinstance(values, dict)
    names = [str(name) for name in flat({str(key): value for key, value in values.items()})]
    return names + sorted({name.split(".")[0] for name in names if "." in name}) + ["experiment"]
