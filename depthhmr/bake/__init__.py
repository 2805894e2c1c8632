"""Builds the free body from CC0 data. Not needed at run time."""
