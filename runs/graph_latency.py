"""Milliseconds of one picture in several graphs, taken in turn: `python runs/graph_latency.py GRAPH.onnx GRAPH.onnx ...`."""

import sys
import time

import numpy as np
import onnxruntime

ROUNDS, WARM, THREADS = 300, 20, 2

if len(sys.argv) < 2:
    sys.exit(__doc__)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = THREADS
rng = np.random.default_rng(0)
contestants = []
for path in sys.argv[1:]:
    session = onnxruntime.InferenceSession(path, options)
    side = session.get_inputs()[0].shape[1]
    image = rng.integers(0, 256, (1, side, side, 3), np.uint8)
    intrinsics = np.array([[side, side, side / 2, side / 2]], np.float32)
    contestants.append((path, session, {"image": image, "intrinsics": intrinsics}))
spent: dict[str, list[float]] = {path: [] for path, *_ in contestants}
for _ in range(ROUNDS):
    for path, session, feeds in contestants:
        begin = time.perf_counter()
        session.run(None, feeds)
        spent[path].append(1000 * (time.perf_counter() - begin))
for path, times in spent.items():
    low, middle, high = np.percentile(times[WARM:], (10, 50, 90))
    print(f"{path}: p50 {middle:.1f} ms, p10 {low:.1f}, p90 {high:.1f}")
