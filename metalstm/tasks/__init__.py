"""Tasks, the classes of a split, and the sampler."""
