"""The run directory: its name, and what lies where in it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from metalstm.config.text import pasted
from metalstm.errors import ConfigError, MetalstmError
from metalstm.files.writing import room, write_atomically, writing

CONFIG = "config.yaml"
PER_TASK = "per_task.json"
GALLERY = "gallery.json"
CONFUSION = "confusion.json"
RESULT = "result.json"
LIFELONG = "lifelong.json"
METRICS = "metrics.jsonl"
LOG = "train.log"
IDENTITY = "run.json"
FAILED = "failed.json"  # of a job of a sweep: why it has no result
CHECKPOINTS = "checkpoints"
TESTS = "tests"
REPORT = "report.html"
CURVE = "figures/adaptation_curve.png"
TRIALS = "trials.md"  # of a search, beside its trials' directories
UTC_NAME = "%Y-%m-%dT%H-%M-%S-%f"
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError)  # of a file of any content
log = logging.getLogger(__name__)


def new_run_directory(parent: Path, name: str | None = None) -> Path:
    """Make a directory under `parent`, named by the time in UTC unless it has a name; two runs never share one.

    Raises:
        ConfigError: the folder cannot be written to, or there is a run in it.
    """
    try:
        while True:
            path = parent / (name or datetime.now(timezone.utc).strftime(UTC_NAME))
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                if not path.is_dir():
                    raise
                if name is None:
                    continue  # another run has started in the same microsecond
                if (path / CONFIG).exists():
                    raise ConfigError.of(
                        f"there is a run in {path}", f"go on with it: {pasted('resume', path)}"
                    ) from None
            return path
    except OSError as error:
        raise ConfigError.of(
            f"output_dir: {error.filename} cannot be written: {error.strerror}", "give output_dir=<a folder of yours>"
        ) from error


def begun(path: Path) -> datetime | None:
    """When a run was begun, in UTC, by what is in it and not by the times of its files, which a copy changes.

    `run.json` says it; of older runs the directory's name, or the log's first line, read as local time. None: nothing.
    """
    with suppress(*UNREADABLE):
        when = datetime.fromisoformat(json.loads((path / IDENTITY).read_text(encoding="utf-8"))["begun"])
        return when.astimezone(timezone.utc)
    with suppress(ValueError):
        return datetime.strptime(path.name, UTC_NAME).replace(tzinfo=timezone.utc)
    if not (path / LOG).is_file():
        return None
    with suppress(*UNREADABLE), (path / LOG).open(encoding="utf-8", errors="replace") as log_file:
        return datetime.strptime(log_file.readline(100)[:19], "%Y-%m-%d %H:%M:%S").astimezone(timezone.utc)
    return None


def named_by_hydra(folder: str) -> Path | None:
    """Return the run's directory that `hydra.run.dir` names; None: it names none."""
    return None if Path(folder) == Path() else Path(folder)


def check_room(parent: Path, checkpoint: int, keep: int) -> None:
    """Whether there is room for a run's checkpoints under `parent`.

    Args:
        parent: the folder for the run's directory, which need not be there yet.
        checkpoint: bytes of one.
        keep: how many newest ones are kept, and one more best one; each while the next is written.

    Raises:
        ConfigError: there is not.
    """
    wanted = checkpoint * (2 * keep + 2)
    free = room(parent)
    if free < wanted:
        raise ConfigError.of(
            f"output_dir: {parent} has room for {in_mib(free)}, but the run's checkpoints take {in_mib(wanted)}",
            "make room, give output_dir=<a folder with room in it>, or keep fewer: keep_checkpoints=1",
        )


def in_mib(size: float) -> str:
    return f"{size / 2**20:.1f} MiB"


def write_json(path: Path, content: Mapping[str, Any], indent: int | None = 2) -> None:
    """Write a file that is whole or not there.

    Raises:
        CheckpointError: it cannot be written.
    """
    text = json.dumps(content, indent=indent, ensure_ascii=False) + "\n"
    with writing(path):
        write_atomically(path, text.encode("utf-8", errors="replace"))  # of names that are not UTF-8


def begin_again(path: Path) -> None:
    """Remove what says that a run is over, and what was drawn of it."""
    (path / RESULT).unlink(missing_ok=True)
    for name in (REPORT, CURVE):
        with suppress(OSError):
            (path / name).unlink()


@contextmanager
def optional(what: str, remedy: str = "") -> Iterator[None]:
    """Open a context for what a result can do without.

    Whatever goes wrong with it is a warning that names the reason.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, MetalstmError):
            said = "; ".join(problem.what for problem in error.problems)
        else:
            said = f"{type(error).__name__}: {error}".splitlines()[0]
        log.warning("no %s: %s%s", what, said, remedy)


@contextmanager
def shown_if_lost(content: str) -> Iterator[None]:
    """Open a context in which a result is written: where it cannot be, its content is shown on the screen."""
    try:
        yield
    except MetalstmError:
        log.warning("this could not be written:\n%s", content)
        raise
