"""Milliseconds of one picture in several graphs, as the service runs them: `python benchmarks/graph_latency.py GRAPH.onnx ...`.

They take turns in an order that changes, on as many threads as a service takes. The sessions are the service's own: one
whose threads spin on after its turn, as ONNX Runtime's do by default, takes a core from whichever graph comes next.
"""

import random
import sys
import time
from pathlib import Path

import numpy as np

from service.engines.onnx_session import open_session
from service.process.cpus import usable_cpus

ROUNDS, WARM = 300, 20

if len(sys.argv) < 2:
    sys.exit(__doc__)
rng = np.random.default_rng(0)
contestants = []
for path in sys.argv[1:]:
    session = open_session(Path(path).read_bytes(), usable_cpus())
    side = session.get_inputs()[0].shape[1]
    image = rng.integers(0, 256, (1, side, side, 3), np.uint8)
    intrinsics = np.array([[side, side, side / 2, side / 2]], np.float32)
    contestants.append((path, session, {"image": image, "intrinsics": intrinsics}))
spent: dict[str, list[float]] = {path: [] for path, *_ in contestants}
for _ in range(ROUNDS):
    for path, session, feeds in random.sample(contestants, len(contestants)):
        begin = time.perf_counter()
        session.run(None, feeds)
        spent[path].append(1000 * (time.perf_counter() - begin))
for path, times in spent.items():
    low, middle, high = np.percentile(times[WARM:], (10, 50, 90))
    print(f"{path}: p50 {middle:.1f} ms, p10 {low:.1f}, p90 {high:.1f}")
