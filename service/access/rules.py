"""What a token must say besides being signed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenRules:
    """What a token must say besides being signed."""

    issuer: str
    audience: str
    leeway_s: float = 30.0  # between our clock and the issuer's
