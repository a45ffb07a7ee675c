"""`metalstm-train`: meta-trains a learner, meta-tests it, and compares it with the same LSTM from scratch."""

from __future__ import annotations

import logging
import os
from importlib.metadata import version
from typing import TYPE_CHECKING

from metalstm.cli.command import lazily, run_command, sweep_asked_for

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


def main() -> None:
    """The command: one run, or with `-m` a sweep of them, each in a process of its own."""
    if "METALSTM_SWEEP" in os.environ:
        from metalstm.sweeps.job import end_with_sweep

        end_with_sweep()
    sweep = sweep_asked_for()
    if sweep is None:
        run_command("train", "metalstm.cli.train:train")
    else:
        lazily("metalstm.cli.sweep:run_sweep")(sweep)


def train(config: DictConfig) -> None:
    """One run, as the command line says; `hydra.run.dir` may name its directory."""
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig

    from metalstm.evaluation.results import command_line
    from metalstm.experiment.train import begin_or_resume
    from metalstm.runs.layout import Place
    from metalstm.runs.logs import no_log, start_log

    hydra = HydraConfig.get()
    if os.environ.get("RANK", "0") == "0":
        start_log()
        log.info("metalstm  %s, %s", version("metalstm"), begins(config))
    else:
        no_log()
    path = Path(hydra.run.dir)
    place = None if path == Path() else Place(path.parent, path.name)
    from metalstm.runtime.processes import processes_together  # which brings torch, and takes its time

    with processes_together() as processes:
        begin_or_resume(config, hydra.overrides.task, command_line(), processes, place)


def begins(config: DictConfig) -> str:
    """What a run is about, as far as its config says so before it is checked."""
    if config.get("resume") is not None:
        return f"going on with {config.resume}"
    return ", ".join(f"{group} {getattr(config.get(group), 'name', None)}" for group in ("dataset", "model", "learner"))
