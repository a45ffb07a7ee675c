"""`metalstm-adapt`: adapts a finished run's learner to a support set of one's own, and predicts."""

from metalstm.cli.command import run_command


def main() -> None:
    """Run the command."""
    run_command("adapt", "metalstm.experiment.adapt:adapt")
