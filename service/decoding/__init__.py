"""Uploaded bytes to pixels, within bounds on memory and time."""
