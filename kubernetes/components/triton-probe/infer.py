"""Liveness of a Triton server: a real inference, for Triton stays "ready" when its model is dead.

    python3 infer.py MODEL [PORT]

After a CUDA error every inference of the process fails, and a hung GPU answers none, while /v2/health/ready says 200 to
both: only a new process helps. Exit 0 when the model answered, or when it refused this request (the queue is full, the
request waited too long) but has run another one lately: busy is not dead. Exit 1 with a sentence otherwise.

Runs in Triton's own image: Python's standard library and loopback HTTP, nothing else.
"""

import http.client
import json
import math
import sys
import time

# Together below timeoutSeconds of the probe, so that the reason is ours to give: 2 s, then 6 s, then 2 s.
ASK_S, INFER_S = 2.0, 6.0
QUEUE_US = 5_000_000  # how long the request may wait in Triton's queue; an integer, Triton takes no other
LATELY_S = 30.0  # a model that runs has finished a batch by then
BYTES = {"BOOL": 1, "UINT8": 1, "INT8": 1, "INT16": 2, "FP16": 2, "INT32": 4, "FP32": 4, "INT64": 8, "FP64": 8}


def main(model: str, port: int) -> int:
    begin = time.time()
    try:
        inputs = json.loads(call(port, "GET", f"/v2/models/{model}"))["inputs"]
        infer(model, port, inputs)
    except (OSError, http.client.HTTPException, Refused) as error:
        age = time.time() - last_inference(model, port)
        if not isinstance(error, Broken) and age < LATELY_S:
            print(f"{model} is busy ({error}), but ran {age:.0f} s ago")
            return 0
        print(f"{model} does not answer: {error}")
        return 1
    print(f"{model} answered in {1e3 * (time.time() - begin):.0f} ms")
    return 0


class Refused(Exception):
    """Triton said no, but may be well."""


class Broken(Refused):
    """The model failed, or its answer makes no sense."""


def infer(model: str, port: int, inputs: list[dict]) -> None:
    """One inference of zeros, shaped as the server itself says; the tensors travel as bytes, 78 KB for one image."""
    tensors = []
    for spec in inputs:
        shape = [1 if axis == -1 else axis for axis in spec["shape"]]
        size = BYTES[spec["datatype"]] * math.prod(shape)
        parameters = {"binary_data_size": size}
        tensors.append({"name": spec["name"], "shape": shape, "datatype": spec["datatype"], "parameters": parameters})
    # Priority 1 goes before the images that wait; a model without priorities ignores it.
    parameters = {"timeout": QUEUE_US, "priority": 1, "binary_data_output": True}
    header = json.dumps({"inputs": tensors, "parameters": parameters}).encode()
    body = header + bytes(sum(tensor["parameters"]["binary_data_size"] for tensor in tensors))
    headers = {"Inference-Header-Content-Length": str(len(header)), "Content-Type": "application/octet-stream"}
    if not call(port, "POST", f"/v2/models/{model}/infer", body, headers):
        raise Broken("the answer is empty")


def last_inference(model: str, port: int) -> float:
    """When the model last ran, in seconds since 1970; 0 when that cannot be said."""
    try:
        stats = json.loads(call(port, "GET", f"/v2/models/{model}/stats"))["model_stats"]
        return max(entry["last_inference"] for entry in stats) / 1e3
    except (OSError, http.client.HTTPException, Refused, LookupError, ValueError):
        return 0.0


def call(port: int, method: str, path: str, body: bytes | None = None, headers: dict | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=INFER_S if body else ASK_S)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status == 503:
        raise Refused(f"503 {content[:200]!r}")
    if answer.status != 200:
        raise Broken(f"{answer.status} {content[:200]!r}")
    return content


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8000))
