"""How long the event loop was kept from its work: everything waits while one piece of code does not give way."""

import asyncio
import time

from service.telemetry.metrics import Metrics

SAMPLE_INTERVAL_S = 0.02  # one that is kept for less may go unseen
BUSY_INTERVAL_S = 0.005  # what was computed in this time, before a block, may be counted to it; a look costs some 30 us


async def watch_loop(metrics: Metrics) -> None:
    """Report, until cancelled, how much later than asked for a sleeper is woken, and how much of that the loop computed."""
    await asyncio.gather(_watch_lag(metrics), _watch_blocks(metrics))


async def _watch_lag(metrics: Metrics) -> None:
    while True:
        begin = time.perf_counter()
        await asyncio.sleep(SAMPLE_INTERVAL_S)
        metrics.loop_lag(max(0.0, time.perf_counter() - begin - SAMPLE_INTERVAL_S))


async def _watch_blocks(metrics: Metrics) -> None:
    """On a machine with other things to do a thread that wants to run may have to wait. What it computed meanwhile is what
    our own code kept the loop for.
    """
    interval_s = SAMPLE_INTERVAL_S
    while True:
        begin, begin_cpu = time.perf_counter(), time.thread_time()
        await asyncio.sleep(interval_s)
        took, computed = time.perf_counter() - begin, time.thread_time() - begin_cpu
        metrics.loop_block(min(max(0.0, took - interval_s), computed))
        interval_s = BUSY_INTERVAL_S if computed > took / 10 else SAMPLE_INTERVAL_S
