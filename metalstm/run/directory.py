"""The run directory: its name, what lies where in it, and the log."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, NamedTuple

from tqdm import tqdm

from metalstm.errors import ConfigError, Interrupted, MetalstmError
from metalstm.fields import pasted
from metalstm.files import room, write_atomically, writing
from metalstm.run.screen import Company, Lasting

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
TESTS = "tests"
REPORT = "report.html"
CURVE = "figures/adaptation_curve.png"
TRIALS = "trials.md"  # of a search, beside its trials' directories
UTC_NAME = "%Y-%m-%dT%H-%M-%S-%f"
UNREADABLE = (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError)  # of a file of any content

log = logging.getLogger(__name__)
company = Company()


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
    with suppress(*UNREADABLE), (path / LOG).open(encoding="utf-8", errors="replace") as log_file:
        return datetime.strptime(log_file.readline(100)[:19], "%Y-%m-%d %H:%M:%S").astimezone(timezone.utc)
    return None


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
    text = json.dumps(content, indent=indent, ensure_ascii=False) + "\n"
    with writing(path):
        write_atomically(path, text.encode("utf-8", errors="replace"))  # of names that are not UTF-8


def begin_again(path: Path) -> None:
    """Removes what says that a run is over, and what was drawn of it."""
    (path / RESULT).unlink(missing_ok=True)
    for name in (REPORT, CURVE):
        with suppress(OSError):
            (path / name).unlink()


@contextmanager
def optional(what: str, remedy: str = "") -> Iterator[None]:
    """A context for what a result can do without: whatever goes wrong with it is a warning that names the reason."""
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
    """A context in which a result is written: where it cannot be, its content is shown on the screen."""
    try:
        yield
    except MetalstmError:
        log.warning("this could not be written:\n%s", content)
        raise


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
    alone = False  # whether it has said that there is no screen

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if Lasting.lost is not None and not self.alone:
            self.alone = True
            said = f"the screen is gone: {Lasting.lost}; the run goes on without it"
            super().emit(log.makeRecord(log.name, logging.WARNING, __file__, 0, said, (), None))

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
    """The package's log on the screen, from a level on; what the screen does not take ends nothing."""
    end_log()
    company.hold()
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


def log_to_file(path: Path) -> IO[str]:
    """The package's log in a file as well, with the time; gives the file."""
    with writing(path):
        to_file = LogFile(path, encoding="utf-8", errors="replace")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("metalstm").addHandler(to_file)
    assert to_file.stream is not None
    return to_file.stream


def end_log() -> None:
    """The package's log as it was before `start_log`: with whoever has imported it."""
    logger = logging.getLogger("metalstm")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True
    company.release()
