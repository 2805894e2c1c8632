"""How long the event loop was kept from its work: everything waits while one piece of code does not give way."""

import asyncio
import time

from service.metrics import Metrics

EVERY_S = 0.05  # one that is kept for less may go unseen


async def watch_loop(metrics: Metrics) -> None:
    """Report, until cancelled, how much later than asked for this is woken."""
    while True:
        begin = time.perf_counter()
        await asyncio.sleep(EVERY_S)
        metrics.loop_lag(max(0.0, time.perf_counter() - begin - EVERY_S))
