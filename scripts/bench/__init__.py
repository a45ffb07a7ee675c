"""What `scripts/benchmark.py` is made of. Nothing here imports torch or jax before it is needed: a process has one."""
