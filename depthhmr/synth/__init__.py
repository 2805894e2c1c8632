"""Synthetic people with ground truth. Needs no torch."""
