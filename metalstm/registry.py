"""The one door for components: a group and a name lead to the settings class in the component's own file.

A component is one file, named after it, and one YAML. A class in the file holds the settings and makes the component:
it can `load` a dataset, `shape` a model or `build` a learner. The file is imported once it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

PACKAGES = {
    "dataset": "metalstm.datasets",
    "model": "metalstm.nn",
    "learner": "metalstm.learners",
    "tracker": "metalstm.tracking",
}
GROUPS = ("dataset", "model", "learner")  # which the command line chooses one of, with settings
NO_TRACKERS = ("__init__", "base", "follow")

T = TypeVar("T", bound=type)
_registered: dict[tuple[str, str], Any] = {}


def register(group: str, name: str) -> Callable[[T], T]:
    """Return a decorator that registers the settings class of a component, or the class of a tracker.

    Args:
        group: dataset, model, learner or tracker.
        name: of the component, as in `learner=<name>` or `logger=<name>`.

    Raises:
        ValueError: there is no such group, or another class has the name.

    Example:
        @register("learner", "mine")
        @dataclass(kw_only=True)
        class MineSettings(LearnerSettings): ...
    """
    if group not in PACKAGES:
        raise ValueError(f"there is no group {group!r}: a component is one of {', '.join(PACKAGES)}")

    def add(kind: T) -> T:
        if name in packaged(group) and not kind.__module__.startswith("metalstm."):
            raise ValueError(f"{group}={name} is a component of metalstm itself, which {kind.__qualname__} is not")
        known = _registered.setdefault((group, name), kind)
        if (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
            raise ValueError(f"{group}={name} is registered already, by {known.__module__}.{known.__qualname__}")
        _registered[group, name] = kind
        return kind

    return add


@cache
def packaged(group: str) -> list[str]:
    """Return the names of the package's own components of a group: each has a YAML file, but for trackers."""
    if group == "tracker":
        stems = (
            file.name.removesuffix(".py") for file in files(PACKAGES[group]).iterdir() if file.name.endswith(".py")
        )
        return sorted(stem for stem in stems if stem not in NO_TRACKERS)
    folder = files("metalstm.configs").joinpath(group)
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def registered(group: str) -> dict[str, Any]:
    """Return the settings classes of a group that are imported, by name."""
    return {name: kind for (of, name), kind in _registered.items() if of == group}


def names(group: str) -> list[str]:
    """Return the names of a group's components; nothing is imported."""
    return sorted({*packaged(group), *registered(group)})


def settings_class(group: str, name: str) -> Any:
    """Import a component and return the class of its settings, or a tracker's own.

    Raises:
        KeyError: there is no such group or name.
    """
    if (group, name) not in _registered and name in packaged(group):
        package = import_module(PACKAGES[group])
        (folder,) = package.__path__
        (file,) = Path(folder).rglob(f"{name}.py")
        import_module(".".join((PACKAGES[group], *file.relative_to(folder).with_suffix("").parts)))
    return _registered[group, name]


def settings_classes(group: str) -> dict[str, Any]:
    """Import all components of a group and return the classes of their settings, by name."""
    return {name: settings_class(group, name) for name in names(group)}
