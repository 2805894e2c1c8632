"""How long the event loop was kept from its work: everything waits while one piece of code does not give way."""

import asyncio
import time

from service.metrics import Metrics

EVERY_S = 0.02  # one that is kept for less may go unseen


async def watch_loop(metrics: Metrics) -> None:
    """Report, until cancelled, how much later than asked for this is woken, and how much of that the loop computed itself.

    On a machine with other things to do a thread that wants to run may have to wait. What it computed meanwhile is what
    our own code kept the loop for.
    """
    while True:
        begin, begin_cpu = time.perf_counter(), time.thread_time()
        await asyncio.sleep(EVERY_S)
        lag = max(0.0, time.perf_counter() - begin - EVERY_S)
        metrics.loop_lag(lag, min(lag, time.thread_time() - begin_cpu))
