"""Hostile inputs, and fuzzers that search for more. Needs the extra `dev`; not part of the service."""
