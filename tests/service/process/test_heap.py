"""In a process of its own, for its memory is what is looked at."""

import platform
import subprocess
import sys

import pytest

# One thread fills a heap with blocks of a megabyte, puts a small one that stays above them, and frees the rest.
WORK = """
import asyncio, os, sys, threading
from fuzz.siege import memory_mb
from service.process.heap import give_back_large_blocks, give_back_small_blocks
give_back_large_blocks()
kept = []
def work():
    blocks = [os.urandom(1_000_000) for _ in range(50)]
    kept.append(bytes(1000))
async def turns():
    task = asyncio.create_task(give_back_small_blocks(every_s=0.01))
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library, which is left as it is")
def test_what_small_blocks_keep_in_a_heap_is_given_back():
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, timeout=60)

    assert (done.stdout, done.stderr) == ("True\n", "")
