"""The address of a service and the TLS files to reach it with."""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from service.client.errors import InvalidUse

PORTS = {"http": 80, "https": 443, "grpc": 50051, "grpcs": 443}


@dataclass(frozen=True)
class Tls:
    """Files in PEM format. Without `ca_file` the system's trust store is used. Certificate and key identify the client."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate_file is None) != (self.key_file is None):
            raise InvalidUse("a client certificate needs both certificate_file and key_file")

    def context(self) -> ssl.SSLContext:
        """For HTTP. Raises InvalidUse when a file is unusable."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.certificate_file is not None:
                context.load_cert_chain(self.certificate_file, self.key_file)
        except OSError as error:  # SSLError is one
            raise InvalidUse(f"cannot use the TLS files {self._names()}: {error.strerror or error}") from error
        return context

    def contents(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """CA, key and certificate, for gRPC. Raises InvalidUse when a file is unusable."""
        self.context()  # Python's ssl reports what is wrong with a file; gRPC does not
        files = (self.ca_file, self.key_file, self.certificate_file)
        ca, key, certificate = (None if file is None else Path(file).read_bytes() for file in files)
        return ca, key, certificate

    def _names(self) -> str:
        return ", ".join(str(file) for file in (self.ca_file, self.certificate_file, self.key_file) if file)


@dataclass(frozen=True)
class Address:
    """The parsed address of a service."""

    scheme: Literal["http", "https", "grpc", "grpcs"]
    host: str
    port: int
    path: str = ""  # prefix of /v1, for a service behind a proxy

    @classmethod
    def parse(cls, text: str) -> "Address":
        """`http://host:8000`, `https://host`, `grpc://host:50051`, `grpcs://host`. Raises InvalidUse."""
        try:
            parts = urlsplit(text)
            port, host = parts.port, parts.hostname
        except ValueError as error:
            raise InvalidUse(f"cannot read the address {text!r}: {error}") from error
        if parts.scheme not in PORTS or not host:
            raise InvalidUse(
                f"expected an address such as http://host:8000, https://host, grpc://host:50051 or grpcs://host, got {text!r}"
            )
        if parts.username is not None or parts.query or parts.fragment:
            raise InvalidUse("an address must not contain a user, query or fragment; pass the API key as `api_key`")
        path = parts.path.rstrip("/")
        if path and parts.scheme.startswith("grpc"):
            raise InvalidUse(f"a gRPC address has no path, got {text!r}")
        return cls(parts.scheme, host, PORTS[parts.scheme] if port is None else port, path)  # type: ignore[arg-type]

    @property
    def secure(self) -> bool:
        return self.scheme in ("https", "grpcs")

    @property
    def target(self) -> str:
        """host:port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether this is the local machine, which is never reached through a proxy."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.target}{self.path}"
