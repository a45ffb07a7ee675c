"""Components of a person's own: modules that register them are imported before a config is composed.

A plugin is named by `plugins=[...]`, or by an installed package's entry point in the group `metalstm.plugins`.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from metalstm import registry
from metalstm.config.own_configs import own_yaml
from metalstm.config.text import name_of, shown
from metalstm.errors import ConfigError
from metalstm.files.paths import expanded

ENTRY_POINTS = "metalstm.plugins"
INSTALL = "install it, or give the path of its file, e.g. plugins=[/home/me/mine.py]"
# What a run writes down of a plugin that is imported, by its name and the working directory.
_written: dict[tuple[str, str], str] = {}


def plugins_named(overrides: Sequence[str], folder: str | None = None, config_name: str | None = None) -> list[str]:
    """Return the plugins that a command line names, itself or by configs of a person's own.

    Args:
        overrides: such as `plugins=[mine]`; what Hydra will refuse is left to it.
        folder: of the configs: `--config-dir`.
        config_name: of the config in the place of the command's: `--config-name`.
    """
    chosen: dict[str, Any] = {}
    parser = OverridesParser.create()
    for override in overrides:
        if name_of(override) in ("plugins", "experiment") and not override.startswith("~"):
            try:
                chosen[name_of(override)] = parser.parse_override(override).value()
            except HydraException:
                continue
    if folder is not None and "plugins" not in chosen:
        files = [f"experiment/{chosen.get('experiment')}", *([] if config_name is None else [config_name])]
        for file in (Path(folder, f"{name.removesuffix('.yaml')}.yaml") for name in files):
            content = own_yaml(file) if file.is_file() else None
            if isinstance(content, Mapping) and "plugins" in content:
                chosen.setdefault("plugins", content["plugins"])
    named = chosen.get("plugins")
    return [str(one) for one in named] if isinstance(named, list) else [] if named is None else [str(named)]


def import_plugins(named: Sequence[str]) -> list[str]:
    """Import plugins and give their components to Hydra; return them as a run writes them down.

    Args:
        named: modules, or paths of files or packages; a module in the working directory is written down as a path.

    Raises:
        ConfigError: one is missing or cannot be imported.
    """
    import_entry_points()
    found = [import_plugin(name) for name in named]
    for group, name, kind in own_components():
        give_to_hydra(group, name, kind)
    return found


@functools.cache
def import_entry_points() -> None:
    """Import what installed packages register."""
    for point in entry_points(group=ENTRY_POINTS):
        with_words(
            f"the plugin {point.name} ({point.value}) of an installed package", "mend or uninstall it", point.load
        )


def import_plugin(name: str) -> str:
    """Import one plugin; return its module's name, or its path from the root."""
    key = name, os.getcwd()
    if key in _written:
        return _written[key]
    where = path_of(name)
    what = f"plugins={name}"
    if where is None:
        if not found(name):
            raise ConfigError.of(f"{what}, but there is no module {name}", INSTALL)
        with_words(what, "mend it", lambda: import_module(name))
        return _written.setdefault(key, name)
    if not where.exists():
        raise ConfigError.of(f"{what}, but {where} is not there", "bring it back")
    module = where.stem if where.is_file() else where.name
    if str(where.parent) not in sys.path:
        sys.path.append(str(where.parent))
    imported = with_words(what, "mend it", lambda: import_module(module))
    origin = Path(str(imported.__file__)).resolve()
    if where.resolve() not in (origin, origin.parent):
        raise ConfigError.of(f"{what} has the name of another module, {origin}", "rename it")
    return str(where) if os.sep in name else _written.setdefault(key, str(where))


def path_of(name: str) -> Path | None:
    """Return the path of a plugin that is named by one, or lies in the working directory; None: it is a module."""
    if name.endswith(".py") or os.sep in name:
        return Path(os.path.abspath(expanded(name, "plugins", ConfigError)))
    here = Path.cwd().joinpath(*name.split("."))
    if "." not in name:
        for candidate in (here.with_name(f"{here.name}.py"), here):
            if (candidate.suffix == ".py" and candidate.is_file()) or (candidate / "__init__.py").is_file():
                return candidate
    return None


def found(name: str) -> bool:
    """Whether there is a module of a name."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def with_words(what: str, fix: str, load: Any) -> Any:
    """Import something; whatever it raises is said in one line, with the place in the plugin.

    Raises:
        ConfigError: it cannot be imported.
    """
    try:
        return load()
    except ConfigError:
        raise
    except Exception as error:
        trace, place = error.__traceback__, ""
        while trace is not None:
            place = f" ({trace.tb_frame.f_code.co_filename}:{trace.tb_lineno})"
            trace = trace.tb_next
        if isinstance(error, SyntaxError) and error.filename:
            place = f" ({error.filename}:{error.lineno})"
        raise ConfigError.of(f"{what} cannot be imported: {type(error).__name__}: {error}{place}", fix) from error


def own_components() -> Iterator[tuple[str, str, Any]]:
    """Yield group, name and settings class of every component that has no YAML file in the package."""
    for group in registry.GROUPS:
        for name, kind in registry.registered(group).items():
            if name not in registry.packaged(group):
                yield group, name, kind


def give_to_hydra(group: str, name: str, kind: Any) -> None:
    """Give Hydra the default values of a component, in place of a YAML file."""
    base = packaged_base(group, kind)
    parents = {} if base is None else {"defaults": [base, "_self_"]}
    ConfigStore.instance().store(group=group, name=name, node=parents | defaults(name, kind, base), provider="metalstm")


def packaged_base(group: str, kind: Any) -> str | None:
    """Return the name of the package's component that a class derives from, whose YAML file has values for it."""
    names = {known: name for name, known in registry.registered(group).items() if name in registry.packaged(group)}
    return next((names[parent] for parent in kind.__mro__ if parent in names), None)


def defaults(name: str, kind: Any, base: str | None) -> dict[str, Any]:
    """Return the values that a component has where none are given; `???` where one must be.

    Args:
        name: of the component.
        kind: the class of its settings.
        base: the package's component whose YAML file has values already; None: there is none.
    """
    values: dict[str, Any] = {"name": name}
    for item in dataclasses.fields(kind):
        if item.default is not dataclasses.MISSING:
            values[item.name] = item.default
        elif item.default_factory is not dataclasses.MISSING:
            values[item.name] = item.default_factory()
        elif base is None or item.name in vars(kind).get("__annotations__", {}):
            values.setdefault(item.name, "???")
    return values


def as_yaml(group: str, name: str) -> str:
    """Return the YAML file that a plugin's component would have, for `--help`; nothing where it is no plugin's."""
    kind = registry.registered(group).get(name)
    if kind is None or name in registry.packaged(group):
        return ""
    base = packaged_base(group, kind)
    helps = {item.name: item.metadata.get("help", "") for item in dataclasses.fields(kind)}
    lines = [f"# {(inspect.getdoc(kind) or name).split(chr(10) * 2)[0]}".replace("\n", " ")]
    lines += [] if base is None else ["defaults:", f"  - {base}"]
    for key, value in defaults(name, kind, base).items():
        lines.append(f"{key}: {shown(value)}" + (f" # {helps[key]}" if helps.get(key) else ""))
    return "\n".join([*lines, ""])
