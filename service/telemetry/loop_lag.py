"""Measures event loop lag: while one callback runs, everything else on the loop waits."""

import asyncio
import time

from service.telemetry.metrics import Metrics

SAMPLE_INTERVAL_S = 0.02  # shorter blocks may be missed
BUSY_INTERVAL_S = 0.005  # work in the interval before a block may be counted as part of it; a sample costs about 30 us


async def watch_loop(metrics: Metrics) -> None:
    """Report, until cancelled, how late a sleeping task is woken, and how much of that the loop's thread spent computing.

    On a busy machine a runnable thread may have to wait for a CPU. Its CPU time in the meantime is what our own code
    blocked the loop for.
    """
    interval_s = SAMPLE_INTERVAL_S
    while True:
        begin, begin_cpu = time.perf_counter(), time.thread_time()
        await asyncio.sleep(interval_s)
        took, computed = time.perf_counter() - begin, time.thread_time() - begin_cpu
        late = max(0.0, took - interval_s)
        metrics.loop_lag(late)
        metrics.loop_block(min(late, computed))
        interval_s = BUSY_INTERVAL_S if computed > took / 10 else SAMPLE_INTERVAL_S
