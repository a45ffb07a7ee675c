"""Settings and values as text: for a person, for Hydra, for a shell."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return the remedy for an unknown name.

    A known one of the same letters, the end of it, or one that is spelt alike.
    """
    names = list(known)
    near = [one for one in names if one.replace(".", "_") == name.replace(".", "_")]
    near += [one for one in names if name.endswith(f"_{one}")] or difflib.get_close_matches(name, names, n=1)
    return f"did you mean {prefix}{near[0]}?" if near else "leave it out; --help lists the settings"


def shown(value: Any) -> str:
    """Return a value as the command line writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def name_of(override: str) -> str:
    """Return the setting or group that an override such as `+steps=10` is about."""
    return override.lstrip("+~").split("=")[0].split("@")[0]


# Texts that Hydra and a shell take as they are.
PLAIN = re.compile(r"(?!(?i:null|true|false|nan|[+-]?inf)$)[A-Za-z_./-][\w./:%+-]*", re.ASCII)


def literal(text: str) -> str:
    """Return the text with every `${` as it stands, and not as the beginning of an interpolation."""
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


def in_quotes(text: str) -> str:
    """Return the text between quotes of Hydra's grammar: backslashes count before a quote alone."""
    escaped = re.sub(r"(\\*)(')", r"\1\1\\\2", text)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def quoted(text: str) -> str:
    """Return a text as an override's value, whatever stands in it."""
    return in_quotes(literal(text))


def as_override(value: Any) -> str:
    """Return a value as Hydra reads it, in quotes where it must be."""
    if isinstance(value, list):
        return f"[{','.join(map(as_override, value))}]"
    if not isinstance(value, (str, Path)):
        return shown(value)
    text = from_here(value) if isinstance(value, Path) else value
    return text if PLAIN.fullmatch(text) else quoted(text)


def from_here(place: Path) -> str:
    """Return a path as an argument, so that it is taken neither for an option nor for someone's home."""
    return f".{os.sep}{place}" if str(place).startswith(("-", "~")) else str(place)


def in_shell(word: str) -> str:
    """Return a word as a shell reads it, in quotes where it must be."""
    inside = "'" in word and not re.search(r'["$`\\!]', word)  # the quotes are Hydra's, and easier to read so
    return f'"{word}"' if inside else shlex.quote(word)


def shell(*words: str) -> str:
    """Return a command of such words, to be pasted into a shell."""
    return " ".join(map(in_shell, words))


def pasted(name: str, value: Any) -> str:
    """Return a setting that can be pasted into a shell, whatever its value.

    Quoted for Hydra, and then for the shell.
    """
    return in_shell(f"{name}={as_override(value)}")


def command(program: str, *arguments: Path, **settings: Any) -> str:
    """Return a command that can be pasted into a shell, with paths as its arguments or with settings."""
    given = (f"{name}={as_override(value)}" for name, value in settings.items())
    return shell(program, *map(from_here, arguments), *given)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        result |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return result


def unlike(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the names that both have, under other values."""
    return [name for name, value in one.items() if name in other and other[name] != value]


def plain(settings: Any) -> dict[str, Any]:
    """Return settings as nested mappings."""
    return dataclasses.asdict(settings)


def command_line() -> list[str]:
    """Return the command as it was given, without the folder that it was found in."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def duration(seconds: float, digits: int = 0) -> str:
    """Write a time as a person says it: `39 s`, `12 min`, `2 h 05 min`; below 100 minutes with so many digits."""
    if seconds < 100:
        return f"{seconds:.{digits}f} s"
    minutes = round(seconds / 60, digits)
    return f"{minutes:.{digits}f} min" if minutes < 100 else f"{round(minutes) // 60} h {round(minutes) % 60:02d} min"
