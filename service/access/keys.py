"""API keys: who may call. The file holds hashes, so that reading it gives nobody a key.

Keys are 256 random bits, so a plain SHA-256 is enough: there is nothing to guess that a slow hash would have to slow down.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from bodykit.errors import UserError
from service.errors import Unauthenticated

PREFIX = "dhmr_"  # so that a leaked key is recognised for what it is
LINE = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64})\s+(?P<sha256>[0-9a-f]{64})")
HEADER = "x-api-key"


def new_key() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def hash_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class ApiKeys:
    """Names by the hash of their key. Several keys may be valid at once, and one name may have several: that is how they
    are changed without a gap.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = dict(names)

    @classmethod
    def read(cls, path: Path) -> "ApiKeys":
        """Lines of `NAME SHA256`; empty lines and lines with # at the start say nothing. Raises UserError."""
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"the API keys {path} cannot be read: {error}") from error
        names = {}
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            found = LINE.fullmatch(text)
            if found is None:
                raise UserError(
                    f"{path}, line {number}: expected NAME and the SHA-256 of a key, as `depthhmr key` prints"
                )
            names[found["sha256"]] = found["name"]
        if not names:
            raise UserError(f"{path} holds no key, so nobody could call; `depthhmr key NAME` makes one")
        return cls(names)

    def authenticate(self, key: str | None) -> str:
        """The name that `key` belongs to. Raises Unauthenticated."""
        if not key:
            raise Unauthenticated(f"an API key is needed, in {HEADER}")
        given = hash_of(key)
        # Every known hash is compared, each in constant time, so that the answer's delay tells nothing.
        matches = [name for known, name in self._names.items() if hmac.compare_digest(known, given)]
        if not matches:
            raise Unauthenticated("this API key is not known here")
        return matches[0]


def credential_from(headers: Mapping[str, str]) -> str | None:
    """The key or token of a request: in X-API-Key, or as a bearer token. `headers` are asked in small letters."""
    if key := headers.get(HEADER):
        return key
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
