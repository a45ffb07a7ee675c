"""The run directory: its name, what lies where in it, and the log."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tqdm import tqdm

from metalstm.errors import ConfigError
from metalstm.files import write_atomically

CONFIG = "config.yaml"
PER_TASK = "per_task.json"
RESULT = "result.json"
METRICS = "metrics.jsonl"
LOG = "train.log"


def new_run_directory(parent: Path) -> Path:
    """Makes a directory under `parent`, named by the time in UTC; two runs never share one.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    try:
        while True:
            path = parent / datetime.now(timezone.utc).strftime("%Y-%m-%dT%H-%M-%S-%f")
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                if not path.is_dir():
                    raise
                continue  # another run has started in the same microsecond
            return path
    except OSError as error:
        raise ConfigError.of(
            f"output_dir: {error.filename} cannot be written: {error.strerror}", "give output_dir=<a folder of yours>"
        ) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a file that is whole or not there."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


class Console(logging.Handler):
    """Prints log lines on standard output, without cutting through a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage() if record.levelno < logging.WARNING else f"warning: {record.getMessage()}"
        tqdm.write(text)


def start_log(path: Path | None) -> logging.Logger:
    """The package's log on the screen, and with the time in the file `path`."""
    logger = logging.getLogger("metalstm")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(Console())
    if path is not None:
        to_file = logging.FileHandler(path, encoding="utf-8")
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(to_file)
    return logger
