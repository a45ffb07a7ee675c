"""Settings that had other names, and values that did: old ones are read as new ones, wherever they are written.

A run made before a renaming still resumes and is tested; a command line from an old paper still runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# By the old name of a setting, with its group.
NAMES = {
    "averaging": "ema_decay",
    "start": "init_from",
    "learner.recompute": "learner.gradient_checkpointing",
    "learner.tasks_at_a_time": "learner.task_chunk_size",
}
# By the name of a setting, and its old value.
VALUES = {
    "learner.learned_rates": {
        "weights": "per_parameter",
        "weights_and_steps": "per_parameter_per_step",
        "layers_and_steps": "per_layer_per_step",
    }
}


def renamed(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings, nested or by their dotted names, with the names and values that they have today."""
    found: dict[str, Any] = {}
    for old, value in settings.items():
        name = NAMES.get(f"{prefix}{old}", f"{prefix}{old}").removeprefix(prefix)
        if isinstance(value, Mapping):
            found[name] = renamed(value, f"{prefix}{name}.")
        else:
            found[name] = renamed_value(f"{prefix}{name}", value)
    return found


def renamed_value(name: str, value: Any) -> Any:
    """Return a setting's value as it is written today."""
    return VALUES.get(name, {}).get(value, value) if isinstance(value, str) else value


def renamed_override(override: str) -> str:
    """Return an override such as `averaging=0.9` with the name and the value that it has today."""
    given, equals, value = override.partition("=")
    marks = given[: len(given) - len(given.lstrip("+~"))]
    name = NAMES.get(given.lstrip("+~"), given.lstrip("+~"))
    return f"{marks}{name}{equals}{','.join(renamed_value(name, one) for one in value.split(','))}"
