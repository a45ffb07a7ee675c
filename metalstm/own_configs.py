"""Configs of a person's own, wherever they are read: bounded before they are parsed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from metalstm.errors import ConfigError
from metalstm.reading import Unreadable, read_yaml

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
    """Have Hydra read a config in a folder only where `own_yaml` does, whatever refers to it."""
    from hydra._internal.core_plugins.file_config_source import FileConfigSource
    from hydra._internal.sources_registry import SourcesRegistry
    from hydra.core.plugins import Plugins

    class Bounded(FileConfigSource):
        def load_config(self, config_path: str) -> ConfigResult:
            file = Path(self.path, self._normalize_file_name(config_path))
            if file.is_file():
                own_yaml(file)
            return super().load_config(config_path)

    Plugins.instance()  # which registers Hydra's own
    SourcesRegistry.instance().types["file"] = Bounded
