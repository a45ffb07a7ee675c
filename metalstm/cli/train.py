"""`metalstm-train`: meta-trains a learner, meta-tests it, and compares it with the same LSTM from scratch."""

from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import version
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from metalstm.cli.boundary import lazily
from metalstm.cli.command import run_command, sweep_asked_for
from metalstm.config.parse import check_root
from metalstm.config.text import name_of
from metalstm.runs.logs import no_log, start_log
from metalstm.runtime.parent import end_with_sweep

log = logging.getLogger(__name__)

CHECK = "--check"  # whatever can be known without training, and nothing else


def main() -> None:
    """Run the command: one run, or with `-m` a sweep of them, each in a process of its own."""
    if "METALSTM_SWEEP" in os.environ:
        end_with_sweep()
    checking = CHECK in sys.argv
    sys.argv = [one for one in sys.argv if one != CHECK]
    sweep = sweep_asked_for()
    if sweep is not None:
        lazily("metalstm.cli.sweep:check_sweep" if checking else "metalstm.cli.sweep:run_sweep")(sweep)
    elif checking:
        run_command("train", begin, "metalstm.experiment.check:check_command")
    else:
        run_command("train", begin, "metalstm.experiment.train:train_command")


def begin(config: DictConfig) -> None:
    """Say what the run is about, and refuse what can be refused before its components are imported.

    All problems are to be said at once. Where a component's settings may be wrong as well, it is for the run to say so;
    and several processes compare their settings first.
    """
    if os.environ.get("RANK", "0") == "0":
        start_log()
        log.info("metalstm  %s, %s", version("metalstm"), begins(config))
    else:
        no_log()
    if os.environ.get("WORLD_SIZE", "1") == "1" and config.get("resume") is None and not sets_components():
        check_root(config)


def sets_components() -> bool:
    """Return whether the settings of a component are not as in the package's own YAML files."""
    hydra = HydraConfig.get()
    overrides: Any = OmegaConf.to_container(hydra.overrides.task, resolve=False)  # as they were given
    return hydra.job.config_name != "train" or any("." in name_of(str(given)) for given in overrides)


def begins(config: DictConfig) -> str:
    """Return what a run is about, as far as its config says so before it is checked."""
    if config.get("resume") is not None:
        return f"going on with {config.resume}"
    return ", ".join(f"{group} {getattr(config.get(group), 'name', None)}" for group in ("dataset", "model", "learner"))
