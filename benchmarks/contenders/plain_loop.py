"""The work without a service: one image after another in one thread, for as long as each line of standard input says."""

import json
import sys
import time
from pathlib import Path

from depthhmr_cli.plain_loop import PlainLoop
from service.settings import load_settings

content = Path(sys.argv[1]).read_bytes()
work = PlainLoop(load_settings({}))
work(content)
print("ready", flush=True)
for line in sys.stdin:
    seconds, times = json.loads(line)["seconds"], []
    print("begin", flush=True)
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        work(content)
        times.append(time.perf_counter() - start)
    print(json.dumps({"latencies_s": times, "seconds": sum(times), "cpu_s": 0.0}), flush=True)
