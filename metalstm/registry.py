"""The one door for components: a group and a name lead to the settings class in the component's own file.

A component is one file, named after it, and one YAML. A class in the file holds the settings and makes the component:
it can `load` a dataset, `shape` a model or `build` a learner. The file is imported once it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

PACKAGES = {"dataset": "metalstm.datasets", "model": "metalstm.nn", "learner": "metalstm.learners"}
GROUPS = tuple(PACKAGES)

T = TypeVar("T", bound=type)
_registered: dict[tuple[str, str], Any] = {}


def register(group: str, name: str) -> Callable[[T], T]:
    """Return a decorator that registers the settings class of a component.

    Args:
        group: dataset, model or learner.
        name: of the component, as in `learner=<name>`.

    Raises:
        ValueError: there is no such group, or another class has the name.

    Example:
        @register("learner", "mine")
        @dataclass(kw_only=True)
        class MineSettings(LearnerSettings): ...
    """
    if group not in PACKAGES:
        raise ValueError(f"there is no group {group!r}: a component is one of {', '.join(GROUPS)}")

    def add(kind: T) -> T:
        known = _registered.setdefault((group, name), kind)
        if (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
            raise ValueError(f"{group}={name} is registered already, by {known.__module__}.{known.__qualname__}")
        _registered[group, name] = kind
        return kind

    return add


def names(group: str) -> list[str]:
    """Return the names of a group's components; nothing is imported."""
    own = [file.name.removesuffix(".yaml") for file in files("metalstm.configs").joinpath(group).iterdir()]
    return sorted({*own, *(name for of, name in _registered if of == group)})


def settings_class(group: str, name: str) -> Any:
    """Import a component and return the class of its settings.

    Raises:
        KeyError: there is no such group or name.
    """
    if (group, name) not in _registered and name in names(group):
        package = import_module(PACKAGES[group])
        (folder,) = package.__path__
        (file,) = Path(folder).rglob(f"{name}.py")
        import_module(".".join((PACKAGES[group], *file.relative_to(folder).with_suffix("").parts)))
    return _registered[group, name]


def settings_classes(group: str) -> dict[str, Any]:
    """Import all components of a group and return the classes of their settings, by name."""
    return {name: settings_class(group, name) for name in names(group)}
