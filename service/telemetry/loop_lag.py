"""Measures event loop lag: while one callback runs, everything else on the loop waits."""

import asyncio
import time

from service.telemetry.metrics import Metrics

SAMPLE_INTERVAL_S = 0.02  # shorter blocks may be missed
BUSY_INTERVAL_S = 0.005  # work in the interval before a block may be counted as part of it; a sample costs about 30 us


async def watch_loop(metrics: Metrics) -> None:
    """Report, until cancelled, how late a sleeping task is woken, and how much of that the loop's thread spent computing."""
    await asyncio.gather(_watch_lag(metrics), _watch_blocks(metrics))


async def _watch_lag(metrics: Metrics) -> None:
    while True:
        begin = time.perf_counter()
        await asyncio.sleep(SAMPLE_INTERVAL_S)
        metrics.loop_lag(max(0.0, time.perf_counter() - begin - SAMPLE_INTERVAL_S))


async def _watch_blocks(metrics: Metrics) -> None:
    """On a busy machine a runnable thread may have to wait for a CPU. Its CPU time in the meantime is what our own code
    blocked the loop for.
    """
    interval_s = SAMPLE_INTERVAL_S
    while True:
        begin, begin_cpu = time.perf_counter(), time.thread_time()
        await asyncio.sleep(interval_s)
        took, computed = time.perf_counter() - begin, time.thread_time() - begin_cpu
        metrics.loop_block(min(max(0.0, took - interval_s), computed))
        interval_s = BUSY_INTERVAL_S if computed > took / 10 else SAMPLE_INTERVAL_S
