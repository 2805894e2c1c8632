"""Access control for both protocols: authenticates a caller and counts its requests, from the headers alone.

A caller presents an API key or a signed token. Without an authenticator and without a rate limit, every request is admitted.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from service.access.keys import HEADER, ApiKeys, credential_from
from service.access.rules import TokenRules
from service.access.watched import Watched
from service.errors import Unauthenticated
from service.limits.rate_limit import RateLimiter
from service.settings import Settings
from service.telemetry.record import current

if TYPE_CHECKING:
    from service.access.jwts import Tokens


class Authenticator(Protocol):
    """Maps the API key or token of a request to the name of its caller."""

    def authenticate(self, credential: str | None) -> str:
        """The caller's name. Raises Unauthenticated."""
        ...


class AccessControl:
    """Admits a request, or raises the error that answers it."""

    def __init__(self, authenticator: Authenticator | None = None, limiter: RateLimiter | None = None) -> None:
        self._authenticator, self._limiter = authenticator, limiter

    @property
    def is_open(self) -> bool:
        """Whether every request is admitted."""
        return self._authenticator is None and self._limiter is None

    async def admit(self, headers: Mapping[str, str], address: str) -> None:
        """`headers` are looked up by lower-case names. Raises Unauthenticated or RateLimited."""
        name, refusal = "", None
        if self._authenticator is not None:
            try:
                name = current().client = self._authenticator.authenticate(credential_from(headers))
            except Unauthenticated as error:
                refusal = error
        if self._limiter is not None:
            await self._limiter.hit(name, address)  # a wrong key counts for its address, which limits guessing
        if refusal is not None:
            raise refusal


class FileAuthenticator:
    """Authenticates against the files of API keys and of token keys. `watch` reloads them when they change."""

    def __init__(self, keys: Watched[ApiKeys] | None = None, tokens: "Watched[Tokens] | None" = None) -> None:
        self._keys, self._tokens = keys, tokens

    def authenticate(self, credential: str | None) -> str:
        # A token has two dots and an API key has none, so one is never taken for the other.
        if self._tokens is not None and credential and credential.count(".") == 2:
            return self._tokens.value.authenticate(credential)
        if self._keys is not None and (credential or self._tokens is None):
            return self._keys.value.authenticate(credential)
        ways = [*([f"an API key ({HEADER})"] if self._keys else []), *(["a token (bearer)"] if self._tokens else [])]
        raise Unauthenticated(f"{' or '.join(ways)} is needed")

    async def watch(self) -> None:
        """Reload changed files until cancelled."""
        await asyncio.gather(*(watched.watch() for watched in (self._keys, self._tokens) if watched is not None))


def open_authenticator(settings: Settings) -> FileAuthenticator | None:
    """None when the settings name no file. Raises UserError when a file cannot be used."""
    keys = Watched(settings.api_keys_file, ApiKeys.read) if settings.api_keys_file is not None else None
    tokens = _open_tokens(settings)
    return None if keys is None and tokens is None else FileAuthenticator(keys, tokens)


def open_limiter(rate: str | None) -> RateLimiter | None:
    """None when no rate is set."""
    return None if rate is None else RateLimiter(rate)


def _open_tokens(settings: Settings) -> "Watched[Tokens] | None":
    if settings.jwt_jwks_file is None:
        return None
    from service.access.jwts import Tokens, read_jwks  # this import takes 0.1 s: only when tokens are configured

    assert settings.jwt_issuer and settings.jwt_audience, "the settings validate this"
    rules = TokenRules(settings.jwt_issuer, settings.jwt_audience, settings.jwt_leeway_s)
    return Watched(settings.jwt_jwks_file, lambda path: Tokens(read_jwks(path), rules))
