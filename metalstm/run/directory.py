"""The run directory: its name, what lies where in it, and the log."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from metalstm.errors import ConfigError, Interrupted, MetalstmError
from metalstm.fields import pasted
from metalstm.files import room, write_atomically, writing

CONFIG = "config.yaml"
PER_TASK = "per_task.json"
GALLERY = "gallery.json"
CONFUSION = "confusion.json"
RESULT = "result.json"
LIFELONG = "lifelong.json"
METRICS = "metrics.jsonl"
LOG = "train.log"
IDENTITY = "run.json"
CHECKPOINTS = "checkpoints"
REPORT = "report.html"

log = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where a new run's directory goes."""

    parent: Path
    name: str | None = None  # None: the time in UTC


def new_run_directory(parent: Path, name: str | None = None) -> Path:
    """Makes a directory under `parent`, named by the time in UTC unless it has a name; two runs never share one.

    Raises:
        ConfigError: the folder cannot be written to, or there is a run in it.
    """
    try:
        while True:
            path = parent / (name or datetime.now(timezone.utc).strftime("%Y-%m-%dT%H-%M-%S-%f"))
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
    """Writes a file that is whole or not there.

    Raises:
        CheckpointError: it cannot be written.
    """
    with writing(path):
        write_atomically(path, (json.dumps(content, indent=indent) + "\n").encode())


@contextmanager
def reason_logged() -> Iterator[None]:
    """A context in which what ends a run, but for a person who stops it, is written into its log."""
    try:
        yield
    except Interrupted:
        raise
    except MetalstmError as error:
        log.error("%s", error)
        raise
    except Exception as error:
        log.error("error: %s: %s", type(error).__name__, error)
        raise


class Console(logging.Handler):
    """Prints log lines on standard output, without cutting through a progress bar; errors are left to the command."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            return
        text = record.getMessage() if record.levelno < logging.WARNING else f"warning: {record.getMessage()}"
        tqdm.write(text)


class LogFile(logging.FileHandler):
    """Writes log lines to a file; where it cannot, says so once, and the run goes on."""

    failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.failed:
            self.failed = True
            tqdm.write(f"warning: {self.baseFilename} cannot be written: {sys.exc_info()[1]}")

    def close(self) -> None:
        with suppress(OSError):  # it tries once more to write what it could not
            super().close()


def no_log() -> None:
    """Nothing that the package logs is seen, and no progress: another process says it."""
    end_log()
    logger = logging.getLogger("metalstm")
    logger.setLevel(logging.CRITICAL)
    logger.propagate = False


def start_log(level: int = logging.INFO) -> None:
    """The package's log on the screen, from a level on."""
    end_log()
    logger = logging.getLogger("metalstm")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    console = Console()
    console.setLevel(level)
    logger.addHandler(console)


@contextmanager
def screen_log(level: int = logging.INFO) -> Iterator[None]:
    """A context with the package's log on the screen, which leaves it as it was before."""
    start_log(level)
    try:
        yield
    finally:
        end_log()


def log_to_file(path: Path) -> None:
    """The package's log in a file as well, with the time."""
    with writing(path):
        to_file = LogFile(path, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("metalstm").addHandler(to_file)


def end_log() -> None:
    """The package's log as it was before `start_log`: with whoever has imported it."""
    logger = logging.getLogger("metalstm")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True
