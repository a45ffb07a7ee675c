"""The outer loop: the meta-trainer and its optimizer."""
