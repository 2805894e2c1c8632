"""Labelled pictures as training shards: one reader per format, one common form, one writer.

Numpy and files only: no torch, network or losses.
"""
