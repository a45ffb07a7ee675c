"""The loop, run directory, checkpoints, logging and interruption."""
