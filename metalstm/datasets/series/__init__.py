"""Datasets of series of measurements, and functions to regress."""
