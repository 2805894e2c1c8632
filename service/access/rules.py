"""The claims that a token must carry."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenRules:
    """Issuer and audience that every token must name."""

    issuer: str
    audience: str
    leeway_s: float = 30.0  # tolerated difference between the issuer's clock and this one
