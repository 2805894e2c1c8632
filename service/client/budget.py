"""One budget of time for a call, which its attempts share. Knows no protocol."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

from service.client.errors import DeadlineExceeded, ServiceUnavailable

T = TypeVar("T")
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0


async def ask(attempt: Callable[[float], Awaitable[T]], *, timeout_s: float, attempts: int, request_id: str = "") -> T:
    """The result of `attempt(seconds left)`, asked again while the service is unavailable and the budget lasts.

    Everything else is told at once: a refusal stays one, and an image that took too long takes too long again. When the
    service asks for a longer pause than is left, its own answer is told without waiting for the end.
    """
    end = time.monotonic() + timeout_s
    for number in count(1):
        try:
            async with asyncio.timeout(left := end - time.monotonic()):
                return await attempt(left)
        except TimeoutError as error:
            late = DeadlineExceeded(f"no answer within {timeout_s:g} s", request_id=request_id)
            late.attempts = number
            raise late from error
        except ServiceUnavailable as error:
            error.attempts = number
            wait_s = pause(number, error.retry_after_s)
            if number >= attempts or time.monotonic() + wait_s >= end:
                raise
        await asyncio.sleep(wait_s)
    raise AssertionError("count() never ends")


def pause(number: int, retry_after_s: float | None, jitter: Callable[[], float] = random.random) -> float:
    """Seconds to wait after attempt `number` (from 1). Clients that failed together must not come back together."""
    longest = min(FIRST_PAUSE_S * 2 ** (number - 1), LONGEST_PAUSE_S)
    if retry_after_s is None:
        return longest * (0.5 + jitter() / 2)
    return retry_after_s + longest * jitter()  # never sooner than asked
