"""Access options of the commands that call a running service: a CA file and an API key."""

import argparse
from pathlib import Path

from bodykit.errors import UserError


def add_access_arguments(parser: argparse.ArgumentParser, secure: str) -> None:
    """`secure` is the flag with the address of a service that speaks TLS, as in "--to grpcs://HOST:PORT"."""
    parser.add_argument("--ca-file", type=Path, metavar="PEM", help=f"whom to trust, with {secure}")
    parser.add_argument("--api-key-file", type=Path, metavar="FILE", help="file that holds the API key")


def refuse_access(args: argparse.Namespace, flag: str) -> None:
    """Raises UserError if `flag` is not given, so that there is no service for them."""
    if args.ca_file or args.api_key_file:
        raise UserError(f"--ca-file and --api-key-file are for a service at {flag}")


def read_key(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        key = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the API key in {file}: {getattr(error, 'strerror', None) or error}") from error
    if not key.isprintable() or not key or " " in key:
        raise UserError(f"expected one API key in {file} and nothing else: printable ASCII characters without spaces")
    return key
