"""What a fuzzer hands back."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    what: str
    inputs: int
    findings: tuple[str, ...] = ()  # each says what to do to see it again
