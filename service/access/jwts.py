"""Tokens that somebody else signed (JWT): verified against the public keys of a JWKS file, beside API keys or instead of them.

Nothing is fetched: an address to ask at run time would be a way out of the service, and one more thing that can be away.
Whoever issues the tokens publishes a JWKS document; put it into a file, and replace the file when the keys change.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from bodykit.errors import UserError
from service.access.rules import TokenRules
from service.errors import Unauthenticated

# One signature for each kind of key, all of them asymmetric: whoever can verify a token must not be able to make one, and
# a public key must never be taken for a shared secret.
ALGORITHMS = ("RS256", "ES256", "EdDSA")
MIN_RSA_BITS = 2048
MAX_TOKEN_LENGTH = 8192  # characters; refused before anything of it is decoded
MAX_NAME_LENGTH = 128
CLAIMS = ("exp", "iss", "aud", "sub")


@dataclass(frozen=True, eq=False)
class SigningKey:
    algorithm: str
    key: RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


def read_jwks(path: Path) -> dict[str, SigningKey]:
    """Keys by their id (`kid`), empty for one that has none. Raises UserError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise UserError(f"the JWKS file {path} cannot be read: {error}") from error
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise UserError(f'{path} is no JWKS document: expected {{"keys": [...]}}')
    keys: dict[str, SigningKey] = {}
    for number, entry in enumerate(entries, 1):
        where = f"{path}, key {number}"
        if not isinstance(entry, dict):
            raise UserError(f"{where}: expected an object, got {type(entry).__name__}")
        if entry.get("use", "sig") != "sig":
            continue  # a key for encryption in the same document is nobody's mistake
        kid = entry.get("kid", "")
        if not isinstance(kid, str) or kid in keys:
            raise UserError(f"{where}: the id {kid!r} is no text or stands there twice")
        keys[kid] = _signing_key(entry, where)
    if not keys:
        raise UserError(f"{path} holds no key for signatures, so no token could be valid")
    return keys


def _signing_key(entry: Mapping[str, Any], where: str) -> SigningKey:
    if entry.get("kty") == "oct":
        raise UserError(f"{where}: a shared secret (oct); expected a public key for {', '.join(ALGORITHMS)}")
    if "d" in entry:
        raise UserError(f"{where}: a private key; this service needs the public part only, so take the other out")
    try:
        # Without its alg, which is compared below: PyJWT would choose by it how to read the key.
        key = jwt.PyJWK({name: value for name, value in entry.items() if name != "alg"}).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{where}: not a key that can be used: {error}") from error
    algorithm = _algorithm_of(key, where)
    if entry.get("alg", algorithm) != algorithm:
        raise UserError(
            f"{where}: its alg is {str(entry['alg'])[:20]!r}; a key of this kind signs with {algorithm} here"
        )
    return SigningKey(algorithm, key)


def _algorithm_of(key: object, where: str) -> str:
    if isinstance(key, RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise UserError(f"{where}: {key.key_size} bits of RSA; {MIN_RSA_BITS} are the least")
        return "RS256"
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    if isinstance(key, Ed25519PublicKey):
        return "EdDSA"
    raise UserError(f"{where}: expected RSA, the curve P-256 or Ed25519 (for {', '.join(ALGORITHMS)})")


class Tokens:
    """Says whose a token is. `keys` may be replaced at any moment."""

    def __init__(self, keys: Mapping[str, SigningKey], rules: TokenRules) -> None:
        self.keys, self._rules = keys, rules

    def authenticate(self, token: str) -> str:
        """The token's subject. Raises Unauthenticated, with nothing of the token in the message."""
        if len(token) > MAX_TOKEN_LENGTH:
            raise Unauthenticated(f"a token may have at most {MAX_TOKEN_LENGTH} characters")
        try:
            chosen = self._key_for(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                chosen.key,
                algorithms=[chosen.algorithm],  # the key says which, never the token
                issuer=self._rules.issuer,
                audience=self._rules.audience,
                leeway=self._rules.leeway_s,
                options={"require": list(CLAIMS), "verify_iat": False},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(_sentence(error)) from None
        except (ValueError, TypeError, OverflowError, RecursionError):  # claims of a signed token may still be nonsense
            raise Unauthenticated("this token cannot be read") from None
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_NAME_LENGTH or not subject.isprintable():
            raise Unauthenticated(f"the token's sub must be text of at most {MAX_NAME_LENGTH} characters")
        return f"jwt:{subject}"  # no name of an API key has a colon

    def _key_for(self, header: Mapping[str, Any]) -> SigningKey:
        if "kid" in header:
            chosen = self.keys.get(header["kid"])
        else:
            chosen = next(iter(self.keys.values())) if len(self.keys) == 1 else None
        if chosen is None:
            raise Unauthenticated("the token's key (kid) is not known here")
        return chosen


SENTENCES: Sequence[tuple[type[jwt.PyJWTError], str]] = (
    (jwt.ExpiredSignatureError, "this token has expired"),
    (jwt.ImmatureSignatureError, "this token is not valid yet"),
    (jwt.InvalidAudienceError, "this token is not meant for this service (aud)"),
    (jwt.InvalidIssuerError, "this token comes from somebody who is not trusted here (iss)"),
    (jwt.MissingRequiredClaimError, f"this token lacks one of {', '.join(CLAIMS)}"),
    (jwt.InvalidAlgorithmError, f"this token is not signed as its key must sign (one of {', '.join(ALGORITHMS)})"),
    (jwt.InvalidSignatureError, "this token's signature is wrong"),
)


def _sentence(error: jwt.PyJWTError) -> str:
    return next((text for kind, text in SENTENCES if isinstance(error, kind)), "this token cannot be read")
