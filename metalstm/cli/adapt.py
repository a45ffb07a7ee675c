"""`metalstm-adapt`: adapts a finished run's learner to a support set of one's own, and predicts."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from metalstm.cli.command import run_command
from metalstm.config.parse import adapt_settings
from metalstm.experiment.identity import run_settings


def main() -> None:
    """Run the command."""
    run_command("adapt", check, "metalstm.experiment.adapt:adapt")


def check(config: DictConfig) -> None:
    """Refuse settings that are out of bounds, and a folder that is no run."""
    run_settings(Path(adapt_settings(config).run))
