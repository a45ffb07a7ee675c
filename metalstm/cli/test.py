"""`metalstm-test`: meta-tests a finished run on other tasks, with other steps, or on streams."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from metalstm.cli.command import run_command
from metalstm.config.parse import meta_test_settings
from metalstm.experiment.identity import run_settings


def main() -> None:
    """Run the command."""
    run_command("test", check, "metalstm.experiment.retest:meta_test_run")


def check(config: DictConfig) -> None:
    """Refuse settings that are out of bounds, and a folder that is no run."""
    given = meta_test_settings(config)
    run_settings(Path(given.run), given.plugins)
