"""A search over settings: what may be tried, what was, and the trials, each a run in a process of its own.

It asks Optuna itself: Hydra's sweeper for it (hydra-optuna-sweeper 1.3.0) is pinned to Optuna 2, cannot prune a running
job, and does not go on with one that was killed.
"""
