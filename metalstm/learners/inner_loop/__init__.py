"""The inner loop: what adapts, by which steps, and the reference that it is tested against."""
