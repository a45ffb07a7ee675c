"""Datasets of texts and of tokens."""
