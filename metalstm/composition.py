"""A config composed from overrides, in the words of the command line but without one: for Python, and for messages."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from metalstm.fields import flat

if TYPE_CHECKING:
    from omegaconf import DictConfig


@contextmanager
def our_configs(folder: str | None = None, main: str | None = None) -> Iterator[None]:
    """A context in which Hydra composes from `metalstm.configs`, whatever it is in use for outside of it.

    Args:
        folder: configs of a person's own, beside these: `--config-dir`.
        main: in place of these: `--config-path`.

    Raises:
        SearchPathException: there is no such folder.
    """
    from hydra import version
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.config_search_path import SearchPathQuery
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import SearchPathException

    version.setbase("1.3")
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
    """The config that a command has from such a command line.

    Args:
        config_name: the command, such as `train`.
        overrides: as on the command line, e.g. `ways=5`.
        with_hydra: also Hydra's own part, under `hydra`.
        folder, main: as in `our_configs`.

    Raises:
        HydraException, OmegaConfBaseException: as the command meets them; `command.as_ours` says them in our words.
    """
    from hydra import compose

    with our_configs(folder, main):
        return compose(config_name, list(overrides), return_hydra_config=with_hydra)


def setting_names(config_name: str) -> list[str]:
    """All settings and groups of a command, as the command line names them."""
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(composed(config_name, []))
    assert isinstance(values, dict)
    names = [str(name) for name in flat({str(key): value for key, value in values.items()})]
    return names + sorted({name.split(".")[0] for name in names if "." in name}) + ["experiment"]
