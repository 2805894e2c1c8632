"""The result of a fuzzer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    what: str
    inputs: int
    findings: tuple[str, ...] = ()  # each says how to reproduce it
