"""The package's log: on the screen, and in a run's `train.log`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tqdm import tqdm

from metalstm.errors import Interrupted, MetalstmError
from metalstm.files.writing import writing
from metalstm.runtime.screen import Company, Lasting

log = logging.getLogger(__name__)
company = Company()


@contextmanager
def reason_logged() -> Iterator[None]:
    """Open a context in which what ends a run, but for a person who stops it, is written into its log."""
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
    """Show the package's log on the screen, from a level on; what the screen does not take ends nothing."""
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
    """Open a context with the package's log on the screen, which leaves it as it was before."""
    start_log(level)
    try:
        yield
    finally:
        end_log()


def log_to_file(path: Path) -> IO[str]:
    """Return the package's log in a file as well, with the time; gives the file."""
    with writing(path):
        to_file = LogFile(path, encoding="utf-8", errors="replace")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("metalstm").addHandler(to_file)
    assert to_file.stream is not None
    return to_file.stream


def end_log() -> None:
    """Leave the package's log as it was before `start_log`: to whoever has imported it."""
    logger = logging.getLogger("metalstm")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True
    company.release()
