"""How often the bundled Triton leaves a waiting request alone, by configuration: the table of docs/triton.md.

    .venv/bin/python benchmarks/triton_stalls.py

About two minutes; scripts/install-triton first. Plain clients of tritonclient, none of our own code but the model.
"""

import re
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tritonclient.grpc as triton
from tritonclient.utils import np_to_triton_dtype

from bodykit.manifest import Manifest
from depthhmr_cli.local_triton import LocalTriton
from service.engines.base import blank_inputs
from service.settings import default_model_dir

STALLED_S = 0.45  # eight waiting clients take 0.16 s a turn; the server's batcher wakes by itself after 0.5 s
SECONDS = {1: 6.0, 8: 8.0}  # by the number of clients

BATCHING = re.compile(r"dynamic_batching \{.*?\n\}\n", re.DOTALL)
INSTANCES = re.compile(r"count: \d+")


def main() -> None:
    text = (default_model_dir() / "configs" / "pybe.pbtxt").read_text()
    one = INSTANCES.sub("count: 1", text)
    variants = {
        "one instance, two priorities": one,
        "one instance, dynamic_batching { }": BATCHING.sub("dynamic_batching { }\n", one),
        "one instance, no batching": BATCHING.sub("", one),
        "two instances, two priorities": INSTANCES.sub("count: 2", text),
    }
    print(f"{'':<36}" + "".join(f"{clients} clients, calls/s  stalled   " for clients in SECONDS))
    for name, config in variants.items():
        rows = measure(config)
        print(f"{name:<36}" + "".join(f"{rate:18.1f} {stalled:8d}   " for rate, stalled in rows), flush=True)


def measure(config: str) -> list[tuple[float, int]]:
    """Calls per second and stalled calls, for each number of clients."""
    source = default_model_dir()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(shutil.copytree(source, Path(scratch) / source.name))
        (folder / "configs" / "pybe.pbtxt").write_text(config)
        with LocalTriton(folder) as server:
            server.start()
            return [ask(server, clients, seconds) for clients, seconds in SECONDS.items()]


def ask(server: LocalTriton, clients: int, seconds: float) -> tuple[float, int]:
    inputs = []
    for name, array in blank_inputs(Manifest.read(default_model_dir())).items():
        inputs.append(triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)))
        inputs[-1].set_data_from_numpy(array)
    channel = triton.InferenceServerClient(server.url)
    end = time.perf_counter() + seconds

    def client(_: int) -> list[float]:
        took = []
        while (begin := time.perf_counter()) < end:
            channel.infer(server.model, inputs, client_timeout=10)
            took.append(time.perf_counter() - begin)
        return took

    with ThreadPoolExecutor(clients) as pool:
        took = [each for times in pool.map(client, range(clients)) for each in times]
    return len(took) / seconds, sum(each > STALLED_S for each in took)


if __name__ == "__main__":
    main()
