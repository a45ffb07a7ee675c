"""A config composed from overrides, in the words of the command line but without one: for Python, and for messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from metalstm.fields import flat

if TYPE_CHECKING:
    from omegaconf import DictConfig


@contextmanager
def our_configs() -> Iterator[None]:
    """A context in which Hydra composes from `metalstm.configs`, whatever it is in use for outside of it."""
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("metalstm.configs", version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = before


def composed(config_name: str, overrides: Sequence[str], with_hydra: bool = False) -> DictConfig:
    """The config that a command has from such a command line.

    Args:
        config_name: the command, such as `train`.
        overrides: as on the command line, e.g. `ways=5`.
        with_hydra: also Hydra's own part, under `hydra`.

    Raises:
        HydraException, OmegaConfBaseException: as the command meets them; `command.as_ours` says them in our words.
    """
    from hydra import compose

    with our_configs():
        return compose(config_name, list(overrides), return_hydra_config=with_hydra)


def setting_names(config_name: str) -> list[str]:
    """All settings and groups of a command, as the command line names them."""
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(composed(config_name, []))
    assert isinstance(values, dict)
    names = [str(name) for name in flat({str(key): value for key, value in values.items()})]
    return names + sorted({name.split(".")[0] for name in names if "." in name}) + ["experiment"]
