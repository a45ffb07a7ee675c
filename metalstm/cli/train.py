"""`metalstm-train`: meta-trains a learner, meta-tests it, and compares it with the same LSTM from scratch."""

from __future__ import annotations

import logging
import os
from importlib.metadata import version

from omegaconf import DictConfig

from metalstm.cli.boundary import lazily
from metalstm.cli.command import run_command, sweep_asked_for
from metalstm.config.parse import train_settings
from metalstm.runs.logs import no_log, start_log
from metalstm.sweeps.job import end_with_sweep

log = logging.getLogger(__name__)


def main() -> None:
    """The command: one run, or with `-m` a sweep of them, each in a process of its own."""
    if "METALSTM_SWEEP" in os.environ:
        end_with_sweep()
    sweep = sweep_asked_for()
    if sweep is None:
        run_command("train", begin, "metalstm.experiment.train:train_command")
    else:
        lazily("metalstm.cli.sweep:run_sweep")(sweep)


def begin(config: DictConfig) -> None:
    """Say what the run is about, and refuse settings of a new one; several processes compare theirs first."""
    if os.environ.get("RANK", "0") == "0":
        start_log()
        log.info("metalstm  %s, %s", version("metalstm"), begins(config))
    else:
        no_log()
    if os.environ.get("WORLD_SIZE", "1") == "1" and config.get("resume") is None:
        train_settings(config)


def begins(config: DictConfig) -> str:
    """What a run is about, as far as its config says so before it is checked."""
    if config.get("resume") is not None:
        return f"going on with {config.resume}"
    return ", ".join(f"{group} {getattr(config.get(group), 'name', None)}" for group in ("dataset", "model", "learner"))
