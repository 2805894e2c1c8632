"""The door of both protocols: who may call, and how often. Decided by headers alone, before anything of a request is read.

Callers show an API key, or a token that somebody trusted signed; where neither is asked for, everybody may call.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from service.access.keys import HEADER, ApiKeys, given_by
from service.access.rules import TokenRules
from service.access.watched import Watched
from service.errors import Unauthenticated
from service.limits.rate_limit import RateLimiter
from service.settings import Settings
from service.telemetry.record import current

if TYPE_CHECKING:
    from service.access.jwts import Tokens


class Callers(Protocol):
    """Whose is the key or token that came with a request?"""

    def check(self, given: str | None) -> str:
        """The caller's name. Raises Unauthenticated."""
        ...


class Door:
    """Lets a request in, or raises what it is answered with."""

    def __init__(self, callers: Callers | None = None, limiter: RateLimiter | None = None) -> None:
        self._callers, self._limiter = callers, limiter

    @property
    def is_open(self) -> bool:
        """Nothing is asked of anybody."""
        return self._callers is None and self._limiter is None

    async def admit(self, headers: Mapping[str, str], address: str) -> None:
        """`headers` are asked in small letters. Raises Unauthenticated or RateLimited."""
        name, refusal = "", None
        if self._callers is not None:
            try:
                name = current().client = self._callers.check(given_by(headers))
            except Unauthenticated as error:
                refusal = error
        if self._limiter is not None:
            await self._limiter.hit(name, address)  # a wrong key counts for its address, so guessing ends soon
        if refusal is not None:
            raise refusal


class Gate:
    """Callers known by files, which are read again when they change, while `watch` runs."""

    def __init__(self, keys: Watched[ApiKeys] | None = None, tokens: "Watched[Tokens] | None" = None) -> None:
        self._keys, self._tokens = keys, tokens

    def check(self, given: str | None) -> str:
        # A token has two dots and an API key of ours has none, so one never stands for the other.
        if self._tokens is not None and given and given.count(".") == 2:
            return self._tokens.value.check(given)
        if self._keys is not None and (given or self._tokens is None):
            return self._keys.value.check(given)
        ways = [*([f"an API key ({HEADER})"] if self._keys else []), *(["a token (bearer)"] if self._tokens else [])]
        raise Unauthenticated(f"{' or '.join(ways)} is needed")

    async def watch(self) -> None:
        """Until cancelled."""
        await asyncio.gather(*(watched.watch() for watched in (self._keys, self._tokens) if watched is not None))


def open_gate(settings: Settings) -> Gate | None:
    """None where everybody may call. Raises UserError for files that cannot be used."""
    keys = Watched(settings.api_keys_file, ApiKeys.read) if settings.api_keys_file is not None else None
    tokens = _open_tokens(settings)
    return None if keys is None and tokens is None else Gate(keys, tokens)


def open_limiter(rate: str | None) -> RateLimiter | None:
    """None where callers may ask as often as they like."""
    return None if rate is None else RateLimiter(rate)


def _open_tokens(settings: Settings) -> "Watched[Tokens] | None":
    if settings.jwt_jwks_file is None:
        return None
    from service.access.jwts import Tokens, read_jwks  # 0.1 s that a service without tokens need not spend

    assert settings.jwt_issuer and settings.jwt_audience, "settings see to it"
    rules = TokenRules(settings.jwt_issuer, settings.jwt_audience, settings.jwt_leeway_s)
    return Watched(settings.jwt_jwks_file, lambda path: Tokens(read_jwks(path), rules))
