"""API keys. The file holds hashes only, so reading it does not reveal a key.

A key has 256 random bits, so a plain SHA-256 is enough: a slow hash only helps secrets that can be guessed.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from bodykit.errors import UserError
from service.errors import Unauthenticated

PREFIX = "dhmr_"  # makes a leaked key recognisable
LINE = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64})\s+(?P<sha256>[0-9a-f]{64})")
HEADER = "x-api-key"


def new_key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def hash_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class ApiKeys:
    """Caller names by the hash of their key. One name may have several valid keys, so keys can be rotated without a gap."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(names)

    @classmethod
    def read(cls, path: Path) -> "ApiKeys":
        """Reads lines of `NAME SHA256`; skips empty lines and lines that start with #. Raises UserError."""
        try:
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()  # editors on Windows add a byte order mark
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"the API keys file {path} cannot be read: {error}") from error
        names = {}
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            found = LINE.fullmatch(text)
            if found is None:
                raise UserError(
                    f"{path}, line {number}: expected NAME and the SHA-256 of a key, as printed by `depthhmr key`"
                )
            names[found["sha256"]] = found["name"]
        if not names:
            raise UserError(f"{path} holds no key, so no caller could be admitted; `depthhmr key NAME` makes one")
        return cls(names)

    def authenticate(self, key: str | None) -> str:
        """The name of the caller with this key. Raises Unauthenticated."""
        if not key:
            raise Unauthenticated(f"an API key is needed, in {HEADER}")
        given = hash_of(key)
        # Compare every known hash, each in constant time, so the response time reveals nothing.
        matches = [name for known, name in self._names.items() if hmac.compare_digest(known, given)]
        if not matches:
            raise Unauthenticated("this API key is not known")
        return matches[0]


def credential_from(headers: Mapping[str, str]) -> str | None:
    """The key or token of a request, from X-API-Key or the bearer token. `headers` are looked up by lower-case names."""
    if key := headers.get(HEADER):
        return key
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
