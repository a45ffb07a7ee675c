"""A sweep's combinations of values, and the names of its directories, which are functions of the command alone."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from metalstm.errors import ConfigError

LONGEST = 150  # letters of a directory's name; file systems allow 255 bytes


def combinations(overrides: Sequence[Any]) -> list[tuple[list[str], dict[str, str]]]:
    """All combinations of the values given: a job's overrides, and those of them that have several values, by name."""
    choices: dict[str, list[tuple[str, str | None]]] = {}
    for override in overrides:
        name = override.get_key_element()
        if not override.is_sweep_override():
            choices[name] = [(override.input_line, None)]
            continue
        if not override.is_discrete_sweep():
            raise ConfigError.of(f"{override.input_line} has no list of values", f"give {name}=<value>,<value>,...")
        values = dict.fromkeys(str(value) for value in override.sweep_string_iterator())
        choices[name] = [(f"{name}={value}", value) for value in values]
    return [
        (
            [line for line, _ in chosen],
            {name: value for name, (_, value) in zip(choices, chosen, strict=True) if value is not None},
        )
        for chosen in itertools.product(*choices.values())
    ]


def sweep_name(overrides: Sequence[str]) -> str:
    """Return the name of a sweep's directory: what is swept, and a hash of the command's settings in any order."""
    lines = [str(line) for line in overrides]
    parsed = OverridesParser.create().parse_overrides(lines)
    swept = "_".join(override.key_or_group for override in parsed if override.is_sweep_override())
    return "_".join([*([in_file_name(swept)[:LONGEST]] if swept else []), short_hash(sorted(lines))])


def job_names(swept: Sequence[dict[str, str]]) -> list[str]:
    """Return the names of jobs' directories by their values, e.g. `learner-maml_seed-0`; no two are the same."""
    names = [in_file_name("_".join(f"{name}-{value}" for name, value in job.items())) or "job" for job in swept]
    return [
        name
        if len(name) <= LONGEST and names.count(name) == 1
        else f"{name[:LONGEST]}_{short_hash([f'{key}={value}' for key, value in job.items()])}"
        for name, job in zip(names, swept, strict=True)
    ]


def in_file_name(text: str) -> str:
    """Return the text in letters that file systems, shells and Hydra's grammar take as they are."""
    return re.sub(r"[^A-Za-z0-9_.+-]", "-", text)


def short_hash(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:8]
