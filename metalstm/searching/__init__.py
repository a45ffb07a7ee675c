"""A search over settings: what may be tried, what was, and the trials, each a run in a process of its own."""
