"""`metalstm-test`: meta-tests a finished run on other tasks, with other steps, or on streams."""

from metalstm.cli.command import run_command


def main() -> None:
    """Run the command."""
    run_command("test", "metalstm.experiment.retest:meta_test_run")
