"""The benchmark. Nothing here imports torch or jax before it is needed: a process has one."""
