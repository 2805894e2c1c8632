"""Retries within one time budget that all attempts of a call share. Independent of the protocol."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeVar

from service.client.errors import DeadlineExceeded, ServiceUnavailable

T = TypeVar("T")
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.1, 2.0


async def with_retries(
    attempt: Callable[[float], Awaitable[T]], *, timeout_s: float, attempts: int, request_id: str = ""
) -> T:
    """The result of `attempt(remaining seconds)`, retried while the service is unavailable and time remains.

    Every other error is raised at once: a refusal will not change, and an image that timed out will time out again. When
    Retry-After exceeds the remaining time, the service's own error is raised immediately.
    """
    end = time.monotonic() + timeout_s
    for number in count(1):
        try:
            async with asyncio.timeout(remaining_s := end - time.monotonic()):
                return await attempt(remaining_s)
        except TimeoutError as error:
            late = DeadlineExceeded(f"no answer within {timeout_s:g} s", request_id=request_id)
            late.attempts = number
            raise late from error
        except ServiceUnavailable as error:
            error.attempts = number
            wait_s = backoff_s(number, error.retry_after_s)
            if number >= attempts or time.monotonic() + wait_s >= end:
                raise
        await asyncio.sleep(wait_s)
    raise AssertionError("count() never ends")


def backoff_s(number: int, retry_after_s: float | None, jitter: Callable[[], float] = random.random) -> float:
    """Seconds to wait after attempt `number` (from 1). Jitter keeps clients that failed together from returning together."""
    longest = min(FIRST_BACKOFF_S * 2 ** (number - 1), MAX_BACKOFF_S)
    if retry_after_s is None:
        return longest * (0.5 + jitter() / 2)
    return retry_after_s + longest * jitter()  # never earlier than Retry-After
