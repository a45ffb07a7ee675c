"""Configs of a person's own, wherever they are read: bounded before they are parsed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

from metalstm.config.old_names import renamed
from metalstm.config.text import flat
from metalstm.errors import ConfigError
from metalstm.files.reading import Unreadable, read_yaml
from metalstm.registry import GROUPS

LONGEST = 2**16  # letters that the values of a config may have, each reference written out
DEEPEST = 50  # references to references
ELSEWHERE = 100  # letters that a value without references, or in another config, is taken to have
REFERENCE = re.compile(r"\$\{(\.*)([^${}:]+)\}")  # `${other}`, and `${.other}` of the same group


def check_references(values: Mapping[Any, Any], where: str) -> None:
    """Bound what the references in a config stand for, before any of them is resolved.

    Args:
        values: nested, as they are written.
        where: they stand, for the message.

    Raises:
        ConfigError: they stand for too many letters, or refer to each other too deep.
    """
    texts = {name: value for name, value in flat(values).items() if isinstance(value, str) and "${" in value}
    lengths: dict[str, int] = {}

    def length(name: str, depth: int) -> int:
        if depth > DEEPEST:
            raise ConfigError.of(f"{where}: {name} refers more than {DEEPEST} deep", "write its value in its place")
        if name not in texts:  # a group stands for all that is in it
            inside = [other for other in texts if other.startswith(f"{name}.")]
            return ELSEWHERE + sum(length(other, depth + 1) for other in inside)
        if name not in lengths:
            found = REFERENCE.findall(texts[name])
            lengths[name] = len(texts[name]) + sum(length(absolute(name, *one), depth + 1) for one in found)
        if lengths[name] > LONGEST:
            raise ConfigError.of(
                f"{where}: {name} stands for more than {LONGEST:,} letters", "refer to fewer values, or to shorter ones"
            )
        return lengths[name]

    for name in texts:
        length(name, 0)


def absolute(name: str, dots: str, reference: str) -> str:
    """Return the whole name of a reference that stands in the value of `name`; each dot is a group above it."""
    parts = name.split(".")[: -len(dots)] if dots else []
    return ".".join([*parts, reference])


def own_yaml(file: Path) -> Any:
    """Return the content of a config.

    Raises:
        ConfigError: it is too large, nested too deep, or broken.
    """
    try:
        content = read_yaml(file)
    except (Unreadable, ValueError) as error:
        raise ConfigError.of(
            f"{file} cannot be read: {error}", "give a config that is whole, small and YAML"
        ) from error
    if isinstance(content, Mapping):
        check_references(content, str(file))
    return content


def bound_configs() -> None:
    """Have Hydra read a config in a folder only where `own_yaml` does, and under the names of today.

    The class stays Hydra's own, for launchers hand what it has registered to other processes.
    """
    Plugins.instance()  # loads the modules of all plugins anew, once: their classes are what it registers then
    kind: Any = SourcesRegistry.instance().resolve("file")
    read = kind.load_config
    if read.__module__ == __name__:  # it does already
        return

    def bounded(source: Any, config_path: str) -> ConfigResult:
        file = Path(source.path, source._normalize_file_name(config_path))
        if file.is_file():
            own_yaml(file)
        result: ConfigResult = read(source, config_path)
        if isinstance(result.config, DictConfig):
            group = config_path.rpartition("/")[0]
            written: Any = OmegaConf.to_container(result.config, resolve=False)
            today = renamed(written, f"{group}." if group in GROUPS else "")
            if today != written:  # as in the config of an older run
                result.config = OmegaConf.create(today)
        return result

    setattr(kind, "load_config", bounded)  # noqa: B010 - a method of another's class
