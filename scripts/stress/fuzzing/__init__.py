"""Odd input of every kind, and what must be true of a command however odd its input is."""
