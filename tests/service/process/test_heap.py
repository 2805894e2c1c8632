"""Runs in a process of its own, because its memory is measured."""

import platform
import subprocess
import sys

import pytest

# A thread fills its heap with blocks of a megabyte, puts a small block above them that stays, and frees the rest.
WORK = """
import asyncio, os, sys, threading
from fuzz.hostile_load import memory_mb
from service.process.heap import release_large_blocks, release_small_blocks
release_large_blocks()
kept = []
def work():
    blocks = [os.urandom(1_000_000) for _ in range(50)]
    kept.append(bytes(1000))
async def turns():
    task = asyncio.create_task(release_small_blocks(interval_s=0.01))
    async with asyncio.timeout(10):
        while memory_mb(os.getpid()) > before + 10:
            await asyncio.sleep(0.01)
    task.cancel()
before = memory_mb(os.getpid())
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(memory_mb(os.getpid()) - before > 40)
asyncio.run(turns())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is tuned")
def test_memory_below_a_small_block_in_use_is_returned():
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("True\n", "")
