"""TLS certificates for both protocols, loaded once at startup."""

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
        _check_dates(self.certificate)
        return self


def _check_dates(certificate: Path) -> None:
    """Raises UserError if the certificate is not valid today. Without this check, only clients would notice."""
    from cryptography import x509  # this import takes 0.1 s: only when TLS is configured

    found = x509.load_pem_x509_certificate(certificate.read_bytes())  # the first is the server's, the rest its chain
    begin, end = found.not_valid_before_utc, found.not_valid_after_utc
    if datetime.now(UTC) > end:
        raise UserError(f"the certificate {certificate} was valid until {end:%Y-%m-%d}")
    if datetime.now(UTC) < begin:
        raise UserError(f"the certificate {certificate} is valid from {begin:%Y-%m-%d} on")


def open_tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    """None when TLS is not configured. Raises UserError when the files cannot be used."""
    return None if certificate is None or key is None else Tls(certificate, key, client_ca).check()
