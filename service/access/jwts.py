"""Signed tokens (JWT) of an external issuer, verified against the public keys in a JWKS file.

They work beside API keys or instead of them. Nothing is fetched at run time: a JWKS URL would need an outgoing connection and
could be unavailable. Save the issuer's JWKS document to a file, and replace the file when the keys change.
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

# One algorithm per key type, all asymmetric: a verifier must not be able to sign, and a public key must never be used as a
# shared secret.
ALGORITHMS = ("RS256", "ES256", "EdDSA")
MIN_RSA_BITS = 2048
MAX_TOKEN_LENGTH = 8192  # characters; checked before anything is decoded
MAX_NAME_LENGTH = 128  # characters
CLAIMS = ("exp", "iss", "aud", "sub")


@dataclass(frozen=True, eq=False)
class SigningKey:
    algorithm: str
    key: RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


def read_jwks(path: Path) -> dict[str, SigningKey]:
    """Keys by their id (`kid`), which is empty for a key without one. Raises UserError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))  # with or without a byte order mark
    except (OSError, ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise UserError(f"the JWKS file {path} cannot be read: {error}") from error
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise UserError(f'{path} is not a JWKS document: expected {{"keys": [...]}}')
    keys: dict[str, SigningKey] = {}
    for number, entry in enumerate(entries, 1):
        where = f"{path}, key {number}"
        if not isinstance(entry, dict):
            raise UserError(f"{where}: expected an object, got {type(entry).__name__}")
        if entry.get("use", "sig") != "sig":
            continue  # encryption keys may share the document
        kid = entry.get("kid", "")
        if not isinstance(kid, str) or kid in keys:
            raise UserError(f"{where}: expected a unique string as kid, got {kid!r}")
        keys[kid] = _signing_key(entry, where)
    if not keys:
        raise UserError(f"{path} holds no key for verifying signatures, so no token could be valid")
    return keys


def _signing_key(entry: Mapping[str, Any], where: str) -> SigningKey:
    if entry.get("kty") == "oct":
        raise UserError(f"{where}: expected a public key for {', '.join(ALGORITHMS)}, got a shared secret (oct)")
    if "d" in entry:
        raise UserError(f"{where}: expected the public part only, got a private key; remove the private part")
    try:
        # Leave out `alg`, which is compared below: PyJWT would use it to choose how to read the key.
        key = jwt.PyJWK({name: value for name, value in entry.items() if name != "alg"}).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{where}: the key cannot be used: {error}") from error
    algorithm = _algorithm_of(key, where)
    if entry.get("alg", algorithm) != algorithm:
        raise UserError(f"{where}: expected alg {algorithm!r} for a key of this type, got {str(entry['alg'])[:20]!r}")
    return SigningKey(algorithm, key)


def _algorithm_of(key: object, where: str) -> str:
    if isinstance(key, RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise UserError(f"{where}: expected an RSA key of at least {MIN_RSA_BITS} bits, got {key.key_size} bits")
        return "RS256"
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return "ES256"
    if isinstance(key, Ed25519PublicKey):
        return "EdDSA"
    raise UserError(f"{where}: expected a key of type RSA, P-256 or Ed25519 (for {', '.join(ALGORITHMS)})")


class Tokens:
    """Verifies tokens. `keys` may be replaced at any time."""

    def __init__(self, keys: Mapping[str, SigningKey], rules: TokenRules) -> None:
        self.keys, self._rules = keys, rules

    def authenticate(self, token: str) -> str:
        """The caller's name, from the token's subject. Raises Unauthenticated; its message repeats nothing of the token."""
        if len(token) > MAX_TOKEN_LENGTH:
            raise Unauthenticated(f"expected a token of at most {MAX_TOKEN_LENGTH} characters, got {len(token)}")
        try:
            chosen = self._key_for(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                chosen.key,
                algorithms=[chosen.algorithm],  # determined by the key, never by the token
                issuer=self._rules.issuer,
                audience=self._rules.audience,
                leeway=self._rules.leeway_s,
                options={"require": list(CLAIMS), "verify_iat": False},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(_sentence(error)) from None
        except (ValueError, TypeError, OverflowError, RecursionError):  # signed claims may still be malformed
            raise Unauthenticated("this token cannot be read") from None
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_NAME_LENGTH or not subject.isprintable():
            raise Unauthenticated(f"the token's sub must be printable text of at most {MAX_NAME_LENGTH} characters")
        return f"jwt:{subject}"  # names of API keys contain no colon

    def _key_for(self, header: Mapping[str, Any]) -> SigningKey:
        if "kid" in header:
            chosen = self.keys.get(header["kid"])
        else:
            chosen = next(iter(self.keys.values())) if len(self.keys) == 1 else None
        if chosen is None:
            raise Unauthenticated("the token's key (kid) is not known")
        return chosen


SENTENCES: Sequence[tuple[type[jwt.PyJWTError], str]] = (
    (jwt.ExpiredSignatureError, "this token has expired"),
    (jwt.ImmatureSignatureError, "this token is not valid yet"),
    (jwt.InvalidAudienceError, "this token is not meant for this service (aud)"),
    (jwt.InvalidIssuerError, "this token's issuer is not trusted (iss)"),
    (jwt.MissingRequiredClaimError, f"this token lacks one of the claims {', '.join(CLAIMS)}"),
    (jwt.InvalidAlgorithmError, f"this token's algorithm does not fit its key (one of {', '.join(ALGORITHMS)})"),
    (jwt.InvalidSignatureError, "this token's signature is wrong"),
)


def _sentence(error: jwt.PyJWTError) -> str:
    return next((text for kind, text in SENTENCES if isinstance(error, kind)), "this token cannot be read")
