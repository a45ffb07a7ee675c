"""What a task is, class pools and splits, the sampler."""
