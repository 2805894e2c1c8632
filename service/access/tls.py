"""TLS certificates for both protocols, loaded once at startup."""

import codecs
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bodykit.errors import UserError


@dataclass(frozen=True)
class Tls:
    """Paths of PEM files. With `client_ca`, clients must present a certificate signed by that authority (mTLS)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def check(self) -> "Tls":
        """Raises UserError unless the files can be read and match each other."""
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.key, password="")
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            names = ", ".join(str(path) for path in (self.certificate, self.key, self.client_ca) if path)
            raise UserError(
                f"TLS cannot be set up from {names}: {getattr(error, 'strerror', None) or error}"
            ) from error
        _check_certificate(self.certificate)
        return self

    def contents(self) -> tuple[bytes, bytes, bytes | None]:
        """Key, certificate and client CA, without byte order marks, which gRPC does not skip as OpenSSL does."""
        files = (self.key, self.certificate, self.client_ca)
        key, certificate, client_ca = (None if file is None else _without_mark(file.read_bytes()) for file in files)
        assert key is not None and certificate is not None
        return key, certificate, client_ca


def _without_mark(content: bytes) -> bytes:
    return content.removeprefix(codecs.BOM_UTF8)


def _check_certificate(certificate: Path) -> None:
    """Raises UserError if the certificate is not valid today, or of a kind that gRPC cannot use. Without this check, only
    clients would notice the one, and gRPC reports the other as a port that is taken.
    """
    from cryptography import x509  # this import takes 0.1 s: only when TLS is configured

    found = x509.load_pem_x509_certificate(_without_mark(certificate.read_bytes()))  # the first; others are its chain
    if found.public_key_algorithm_oid == x509.PublicKeyAlgorithmOID.RSASSA_PSS:
        raise UserError(
            f"gRPC cannot use the certificate {certificate}: its key is RSASSA-PSS; expected an RSA (rsaEncryption) or ECDSA key"
        )
    begin, end = found.not_valid_before_utc, found.not_valid_after_utc
    if datetime.now(UTC) > end:
        raise UserError(f"the certificate {certificate} was valid until {end:%Y-%m-%d}")
    if datetime.now(UTC) < begin:
        raise UserError(f"the certificate {certificate} is valid from {begin:%Y-%m-%d} on")


def open_tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    """None when TLS is not configured. Raises UserError when the files cannot be used."""
    return None if certificate is None or key is None else Tls(certificate, key, client_ca).check()
