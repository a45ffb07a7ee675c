"""Configs of a person's own, wherever they are read: bounded before they are parsed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from metalstm.errors import ConfigError
from metalstm.files.reading import Unreadable, read_yaml

if TYPE_CHECKING:
    from hydra.plugins.config_source import ConfigResult


def own_yaml(file: Path) -> Any:
    """The content of a config.

    Raises:
        ConfigError: it is too large, nested too deep, or broken.
    """
    try:
        return read_yaml(file)
    except (Unreadable, ValueError) as error:
        raise ConfigError.of(
            f"{file} cannot be read: {error}", "give a config that is whole, small and YAML"
        ) from error


def bound_configs() -> None:
    """Have Hydra read a config in a folder only where `own_yaml` does, whatever refers to it.

    The class stays Hydra's own, for launchers hand what it has registered to other processes.
    """
    from hydra._internal.core_plugins.file_config_source import FileConfigSource

    read = FileConfigSource.load_config
    if read.__module__ == __name__:  # it does already
        return

    def bounded(source: FileConfigSource, config_path: str) -> ConfigResult:
        file = Path(source.path, source._normalize_file_name(config_path))
        if file.is_file():
            own_yaml(file)
        return read(source, config_path)

    setattr(FileConfigSource, "load_config", bounded)  # noqa: B010 - a method of another's class
