"""How long the event loop was kept from its work: everything waits while one piece of code does not give way."""

import asyncio
import time

from service.metrics import Metrics

IDLE_S = 0.02  # one that is kept for less may go unseen
BUSY_S = 0.005  # what was computed in this time, before the block, may be counted to it; a look costs some 30 us


async def watch_loop(metrics: Metrics) -> None:
    """Report, until cancelled, how much later than asked for this is woken, and how much of that the loop computed itself.

    On a machine with other things to do a thread that wants to run may have to wait. What it computed meanwhile is what
    our own code kept the loop for.
    """
    every_s = IDLE_S
    while True:
        begin, begin_cpu = time.perf_counter(), time.thread_time()
        await asyncio.sleep(every_s)
        took, computed = time.perf_counter() - begin, time.thread_time() - begin_cpu
        lag = max(0.0, took - every_s)
        metrics.loop_lag(lag, min(lag, computed))
        every_s = BUSY_S if computed > took / 10 else IDLE_S
