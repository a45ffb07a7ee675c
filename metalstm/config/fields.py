"""Settings as fields of dataclasses: what a field may hold, whether a value fits, and how to say so.

A field's type is a whole number, a number, a text, a truth value or a list of names, or one of these or null; its
bounds stand in its metadata. A field typed `Any` holds settings of a group, which have a dataclass of their own.

Why not pydantic: its import takes half as long as all of `--help`, and each of its messages ("Input should be a valid
integer") would have to be written anew to name the value, the bound and the remedy, which is most of this file.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import Any

from metalstm import registry
from metalstm.config.text import did_you_mean, shown
from metalstm.errors import ConfigError, Problem
from metalstm.files.paths import expanded, is_name

LARGEST = 2**31  # no whole number without a bound of its own is as large: libraries count in 32 or 64 bits


def bounded(
    minimum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    maximum: float | None = None,
    default: Any = dataclasses.MISSING,
    help: str = "",
) -> Any:
    """Declare a number: at least `minimum`, larger than `above`, smaller than `below`, at most `maximum`.

    Args:
        minimum, above, below, maximum: the bounds; None: there is none.
        default: the value where none is given; of the package's own components the YAML file has it.
        help: what the setting is for, where no YAML file says it.
    """
    limits = {"minimum": minimum, "above": above, "below": below, "maximum": maximum}
    return field(default=default, metadata=limits | {"help": help})


def one_of(*choices: Any, default: Any = dataclasses.MISSING, help: str = "") -> Any:
    """Declare a setting that is one of some values; `default` and `help` as of `bounded`."""
    return field(default=default, metadata={"choices": choices, "help": help})


MAY_BE_EMPTY = {"empty": True}  # metadata of a list


def none_or_some_of(group: str) -> Any:
    """Declare the text `none`, or one or more components of a group, each once, joined by `+`."""
    return field(metadata={"joined": group})


def path() -> Any:
    """Return a file or folder, whose `~` is a home folder."""
    return field(metadata={"path": True})


def path_names(schema: type, prefix: str = "") -> set[str]:
    """Return the names of a schema's settings that are paths."""
    return {prefix + item.name for item in dataclasses.fields(schema) if item.metadata.get("path")}


def typed(schema: type, values: Mapping[str, Any], prefix: str, problems: list[Problem], ready: Any = None) -> Any:
    """`values` as an instance of the dataclass `schema`; what is wrong with them is added to `problems`.

    Args:
        schema: a dataclass of settings.
        values: by name.
        prefix: what stands before a name on the command line, e.g. `model.`.
        problems: receives what is found; where it is not empty, the instance must not be used.
        ready: fields that have been checked already, by name.
    """
    ready = ready or {}
    fields = {item.name: item for item in dataclasses.fields(schema)}
    declared = typing.get_type_hints(schema)
    for name in values:
        if name not in fields:
            problems.append(Problem(f"{prefix}{name} is no setting", did_you_mean(name, list(fields), prefix)))
    checked = dict(ready)
    for name, item in fields.items():
        if declared[name] is Any:  # settings of a group, which the caller has checked
            continue
        if name not in values or values[name] == "???":
            problems.append(Problem(f"{prefix}{name} has no value", f"give {prefix}{name}=..."))
            continue
        checked[name], found = checked_value(item, declared[name], values[name], prefix + name)
        problems += found
    return schema(**{name: checked.get(name) for name in fields})


def checked_value(item: dataclasses.Field[Any], declared: Any, value: Any, name: str) -> tuple[Any, list[Problem]]:
    """Return the value in its field's type, and what is wrong with it."""
    kind = not_none(declared)
    if kind is not declared and value is None:
        return None, []
    if kind not in KINDS:
        known = ", ".join(getattr(one, "__name__", str(one)) for one in KINDS)
        raise TypeError(f"{name} is declared as {declared}, but a setting is one of {known}, or None as well")
    words, accepted, convert = KINDS[kind]
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        return None, [Problem(f"{name}={shown(value)} is not {words}", f"give {words}, e.g. as in configs/")]
    value = convert(value)
    if item.metadata.get("path"):
        try:
            return str(expanded(value, name, ConfigError)), []
        except ConfigError as error:
            return None, list(error.problems)
    if kind is str and not is_name(value):
        return None, [Problem(f"{name}={value} has characters that cannot be printed", f"give {name} without them")]
    if value in ("", []) and not item.metadata.get("empty"):
        return None, [Problem(f"{name} is empty", f"give {name}=..., or leave it out")]
    return value, [
        Problem(f"{name}={shown(value)}, but {bound}", fix) for bound, fix in broken_bounds(item, value, name)
    ]


def not_none(declared: Any) -> Any:
    """Return the type of a setting that may also be None; any other type is returned as it is."""
    kinds = [kind for kind in typing.get_args(declared) if kind is not type(None)]
    return kinds[0] if typing.get_origin(declared) in (typing.Union, types.UnionType) and len(kinds) == 1 else declared


# For each type: what to call it, what YAML may give for it, and how that becomes it.
KINDS: dict[Any, tuple[str, tuple[type, ...], Callable[[Any], Any]]] = {
    int: ("a whole number", (int,), int),
    float: ("a number", (int, float), float),
    str: ("a text", (str, int, float), str),
    bool: ("true or false", (bool,), bool),
    list[str]: ("a list of names such as [a,b]", (list,), lambda names: [str(name) for name in names]),
}


def broken_bounds(item: dataclasses.Field[Any], value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Each bound that the value breaks, and the remedy."""
    limits = item.metadata
    choices = limits.get("choices")
    if choices is not None and value not in choices:
        listed = ", ".join(shown(choice) for choice in choices)
        yield f"it must be one of {listed}", f"use {name}=<one of {listed}>"
    if "joined" in limits and value != "none":
        joined = registry.names(limits["joined"])
        given = value.split("+")
        if len(set(given)) < len(given) or not set(given) <= set(joined):
            listed = ", ".join(joined)
            yield (
                f"it must be none, or some of {listed}, each once, joined by +",
                f"use {name}=none, {name}={joined[0]}, {name}={'+'.join(joined[:2])} ...",
            )
    if isinstance(value, float) and not math.isfinite(value):
        yield "it must be finite", f"give a finite {name}"
        return
    minimum, above, below = limits.get("minimum"), limits.get("above"), limits.get("below")
    if minimum is not None and value < minimum:
        yield f"it must be at least {minimum}", f"use {name}>={minimum}"
    maximum = limits.get("maximum")
    if maximum is not None and value > maximum:
        yield f"it must be at most {maximum}", f"use {name}<={maximum}"
    if isinstance(value, int) and below is None and maximum is None:
        below = LARGEST
    if above is not None and value <= above:
        yield f"it must be larger than {above}", f"use {name}>{above}"
    if below is not None and value >= below:
        yield f"it must be smaller than {below}", f"use {name}<{below}"
