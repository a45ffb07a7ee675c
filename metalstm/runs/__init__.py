"""A run on disk: its layout, log, checkpoints, metrics, lock and listing."""
