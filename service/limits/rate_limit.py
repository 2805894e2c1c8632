"""Rate limit per caller. Counts requests, not images; knows nothing of authentication.

Uses the sliding window of the package `limits`, so a caller cannot use up two windows at their boundary.
"""

import ipaddress
import math
import time
from urllib.parse import unquote

import limits
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from service.errors import RateLimited

# Unauthenticated callers are counted by address, up to this many at once; more share one count. Each request scans
# all counts for expired ones: with 1024 addresses that takes 0.2 ms.
MAX_ADDRESSES = 1024
OTHERS = "others"


def parse_rate(text: str) -> limits.RateLimitItem:
    """Parses rates such as `600/minute`, `5/second` or `100/2 hours`. Raises ValueError."""
    try:
        rate = limits.parse(text)
    except ValueError:
        rate = None
    if rate is None or rate.amount < 1:
        raise ValueError("must be a number of requests per time, such as 600/minute or 20/second")
    return rate


class RateLimiter:
    """One count per caller, in the memory of this process: several processes count separately."""

    def __init__(self, rate: str) -> None:
        self._rate = parse_rate(rate)
        self._names, self._addresses = MemoryStorage(), MemoryStorage()

    async def hit(self, name: str, address: str) -> None:
        """Counts a request of the caller `name`, or of `address` for an unauthenticated one. Raises RateLimited."""
        storage, caller = (self._names, name) if name else (self._addresses, self._place(network_of(address)))
        if not await SlidingWindowCounterRateLimiter(storage).hit(self._rate, caller):
            wait_s = await self._wait_s(storage, caller)
            raise RateLimited(f"{self._sentence()}; try again in {wait_s} s", retry_after_s=wait_s)

    def _place(self, network: str) -> str:
        """`network` if it can be counted separately, else the shared count."""
        known = self._addresses.storage
        if len(known) < MAX_ADDRESSES:
            return network
        keys = self._addresses.sliding_window_keys(self._rate.key_for(network), self._rate.get_expiry(), time.time())
        return network if any(key in known for key in keys) else OTHERS

    async def _wait_s(self, storage: MemoryStorage, caller: str) -> int:
        """Seconds until one more request fits. The previous window counts by the part that the sliding one still covers."""
        limit, span_s = self._rate.amount, self._rate.get_expiry()
        before, before_left_s, now, now_left_s = await storage.get_sliding_window(self._rate.key_for(caller), span_s)
        fits_in_s = before_left_s - (limit - now) * span_s / max(before, 1)
        wait_s = now_left_s - span_s if now >= limit else fits_in_s  # the former lasts to the end of this window
        return max(1, math.ceil(wait_s))

    def _sentence(self) -> str:
        times = f"{self._rate.multiples} " if self._rate.multiples > 1 else ""
        return f"at most {self._rate.amount} requests per {times}{self._rate.GRANULARITY.name}"


def network_of(address: str) -> str:
    """The network counted for an address: an IPv4 address itself, or the /64 of an IPv6 one, the least a subscriber gets."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def address_of_peer(peer: str) -> str:
    """The address in gRPC's name of a peer (`ipv4:127.0.0.1:5000`, `ipv6:[::1]:5000`)."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else peer
