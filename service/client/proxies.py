"""The HTTP proxy for a service, from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY in either case.

httpx reads the same variables, but raises exceptions of its own that do not name them, and does not skip an entry of NO_PROXY
that it cannot read.
"""

import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from service.client.address import Address
from service.client.errors import InvalidUse


def proxy_of(address: Address) -> httpx.Proxy | None:
    """None for a direct connection. Raises InvalidUse, which names the variable, for a proxy that cannot be used."""
    proxies = getproxies()  # on macOS and Windows also the system's
    if address.loopback or is_excluded(address, proxies.get("no", "")):
        return None
    for scheme in (address.scheme, "all"):
        if text := proxies.get(scheme):
            return _proxy(text, _variable(scheme, os.environ))
    return None


def is_excluded(address: Address, no_proxy: str) -> bool:
    """Whether NO_PROXY excludes the address: *, a host, a domain, an IP address or network. Skips what is none of these."""
    return any(_matches(address, entry.strip().lower()) for entry in no_proxy.split(",") if entry.strip())


def _matches(address: Address, entry: str) -> bool:
    if entry == "*":
        return True
    try:
        network = ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return _matches_name(address, entry)
    try:
        return ipaddress.ip_address(address.host) in network
    except ValueError:
        return False


def _matches_name(address: Address, entry: str) -> bool:
    try:
        parts = urlsplit(entry if "://" in entry else f"//{entry}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.scheme not in ("", "all", address.scheme) or port not in (None, address.port):
        return False
    domain = host.lstrip("*").lstrip(".")
    subdomains_only = host.startswith((".", "*."))
    return bool(domain) and (address.host.endswith("." + domain) or (address.host == domain and not subdomains_only))


def _proxy(text: str, variable: str) -> httpx.Proxy:
    try:
        proxy = httpx.Proxy(text if "://" in text else f"http://{text}")
        httpx.AsyncHTTPTransport(proxy=proxy, verify=False)  # says whether SOCKS is supported
    except ImportError as error:
        raise InvalidUse(f"{variable} names a SOCKS proxy, which needs: pip install 'httpx[socks]'") from error
    except (ValueError, httpx.InvalidURL) as error:
        raise InvalidUse(
            f"{variable} does not name a proxy: expected http://host:port, https://host:port or socks5://host:port, got {text!r}"
        ) from error
    return proxy


def _variable(scheme: str, environment: Mapping[str, str]) -> str:
    """The variable that `getproxies` took; the name in small letters wins."""
    lower = f"{scheme}_proxy"
    found = [name for name in environment if name.lower() == lower]
    return lower if lower in found or not found else found[0]
