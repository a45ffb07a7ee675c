"""The identity of a run: its config as it was written, refused where it was edited since."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from metalstm.config.old_names import renamed
from metalstm.config.parse import BUDGETS, checked, from_the_root
from metalstm.config.plugins import import_plugins
from metalstm.config.schema import TrainSettings
from metalstm.config.text import flat, literal, plain, shown, unlike
from metalstm.errors import CheckpointError, ConfigError, Problem
from metalstm.files.reading import Unreadable, read_json, read_yaml
from metalstm.files.writing import write_atomically, writing
from metalstm.runs.layout import CONFIG, IDENTITY, begun, write_json

log = logging.getLogger(__name__)

FORMAT = 1
# Settings that older runs do not have.
LATER: dict[str, Any] = {"logger": "none", "ema_decay": None, "memory_budget": None, "plugins": []}
LATER_OF: dict[str, dict[str, dict[str, Any]]] = {  # of choices of a group
    "dataset": {
        "omniglot": {"augment": 0, "mirrored": False},
        "folder": dict.fromkeys(("split_file", "min_examples", "columns", "drop", "header", "decimal")),
    },
    "model": {"lstm": {"stack": 1}},
}
NOT_KEPT = {"resume": None, "allow_changed_data": False}  # settings of one start, not of the run
FIX = "give the directory that a run printed behind the word run"


def kept(settings: TrainSettings) -> dict[str, Any]:
    """Return the settings that are written down, by their dotted names, with paths from the root."""
    return flat(from_the_root(plain(settings)) | NOT_KEPT)


def unchangeable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, by their dotted names, that say what a run is: no resume may change them."""
    return {name: value for name, value in settings.items() if name not in BUDGETS}


def write_config(path: Path, settings: TrainSettings, fingerprint: str) -> None:
    """Write down what a run is: its config, once more what never changes, its data, and when it was begun."""
    own = unchangeable(kept(settings))
    when = begun(path) if (path / IDENTITY).exists() else datetime.now(timezone.utc)
    known = {} if when is None else {"begun": when.isoformat()}
    write_json(path / IDENTITY, {"format": FORMAT, "fingerprint": fingerprint, "settings": own} | known)
    with writing(path / CONFIG):
        write_atomically(path / CONFIG, literal(OmegaConf.to_yaml(from_the_root(plain(settings)) | NOT_KEPT)).encode())


def put_back_config(path: Path, settings: TrainSettings, fingerprint: str) -> None:
    """Write a run's config again where it was removed under the run: without it the result is of no use."""
    gone = [name for name in (CONFIG, IDENTITY) if not (path / name).exists()]
    if gone:
        log.warning("%s is gone from %s; written again", " and ".join(gone), path)
        write_config(path, settings, fingerprint)


def config_values(path: Path) -> dict[str, Any]:
    """Return the nested settings in a run's config, under the names that they have today.

    Raises:
        Unreadable: it is missing or broken, or no mapping.
    """
    values = read_yaml(path / CONFIG)
    if not isinstance(values, dict):
        raise Unreadable("it is not a mapping")
    return renamed({str(name): value for name, value in values.items()})


def run_settings(path: Path, plugins: Sequence[str] = ()) -> TrainSettings:
    """Return the settings that a run directory was made with.

    Args:
        path: the run directory.
        plugins: in place of those that the run names; none: the run's own.

    Raises:
        CheckpointError: this is no run directory, or one of a newer format.
        ConfigError: the config is not as the run wrote it, or not one of this version.
    """
    if not path.is_dir():
        raise CheckpointError.of(f"{path} is not a directory", FIX)
    identity = run_identity(path)
    try:
        values = config_values(path)
    except Unreadable as error:
        raise CheckpointError.of(
            f"{path} is not a run directory: {CONFIG}: {error}",
            f"bring {CONFIG} back as the run wrote it, or name another run",
        ) from error
    values = LATER | values | ({"plugins": list(plugins)} if plugins else {})
    for group, later in LATER_OF.items():
        if isinstance(chosen := values.get(group), dict):
            values[group] = later.get(str(chosen.get("name")), {}) | chosen
    check_unedited(path, flat(from_the_root(values)), identity["settings"], "the run began with")
    with_plugins(path, values["plugins"])
    try:
        return checked(values)
    except ConfigError as error:  # which the command line does not mend
        problems = [Problem(f"{path / CONFIG}: {what}", f"in {CONFIG}, {fix}") for what, fix in error.problems]
        raise ConfigError(*problems) from error


def with_plugins(path: Path, plugins: Any) -> None:
    """Import the plugins of a run.

    Raises:
        ConfigError: one is missing or broken.
    """
    try:
        import_plugins([str(name) for name in plugins] if isinstance(plugins, list) else [])
    except ConfigError as error:
        elsewhere = "or say where it is now: plugins=[<its file>]"
        raise ConfigError(
            *(Problem(f"run {path}: {what}", f"{fix}, {elsewhere}") for what, fix in error.problems)
        ) from error


def run_identity(path: Path) -> dict[str, Any]:
    """Return the content of a run's `run.json`.

    Raises:
        CheckpointError: this is no run directory, or one of a newer format.
    """
    try:
        identity = read_json(path / IDENTITY)
    except Unreadable as error:
        raise CheckpointError.of(f"{path} is not a run directory: {IDENTITY}: {error}", FIX) from error
    wanted = ("format", "fingerprint")
    if not isinstance(identity, dict) or not all(name in identity for name in wanted):
        raise CheckpointError.of(f"{path} is not a run directory: {IDENTITY} lacks {' or '.join(wanted)}", FIX)
    if identity["format"] != FORMAT:
        raise CheckpointError.of(
            f"{path} has format {identity['format']}, this version reads {FORMAT}", "install the version that wrote it"
        )
    if not isinstance(identity.get("settings", {}), dict):
        raise CheckpointError.of(f"{path} is not a run directory: the settings of {IDENTITY} are no mapping", FIX)
    return identity | {"settings": renamed(identity.get("settings", {}))}


def check_unedited(path: Path, now: Mapping[str, Any], then: Mapping[str, Any], who: str) -> None:
    """Whether a run's config says what the run is as it was said before; budgets may differ.

    Args:
        path: the run directory.
        now: its settings by their dotted names.
        then: those that were written down, as far as they were.
        who: has them, in words.

    Raises:
        ConfigError: with each difference.
    """
    problems = [
        Problem(
            f"{path / CONFIG} has {name}={shown(now[name])}, but {who} {name}={shown(then[name])}",
            f"bring {name}={shown(then[name])} back into {CONFIG}, or start a new run with {name}={shown(now[name])}",
        )
        for name in unlike(unchangeable(now), then)
    ]
    if problems:
        raise ConfigError(*problems)


def fingerprint(path: Path) -> str:
    """Return that of the data which a run began with."""
    return str(run_identity(path)["fingerprint"])
