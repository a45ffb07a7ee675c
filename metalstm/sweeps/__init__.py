"""Many runs, each a process of its own: a grid, a launcher, a summary, a search."""
