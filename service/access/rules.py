"""The claims that a token must carry."""

from dataclasses import dataclass

from service.settings import DEFAULTS


@dataclass(frozen=True)
class TokenRules:
    """Issuer and audience that every token must name."""

    issuer: str
    audience: str
    leeway_s: float = DEFAULTS.jwt_leeway_s  # tolerated difference between the issuer's clock and this one
