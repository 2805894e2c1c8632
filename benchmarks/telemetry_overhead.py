"""What traces and logs cost a request: processor time, in turns, so that a noisy machine is noisy for all of them.

    python benchmarks/telemetry_overhead.py [--rounds 20] [--requests 200]

The REST application is called in this process, without sockets; the collector is a process of its own. The processor time
is that of the whole process, so the thread that sends the spans is in it. The picture is tiny and the engine finds nobody,
so that what is measured is not lost in what a network takes (29 ms for the demo's photo).
"""

import argparse
import asyncio
import io
import logging
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from fastapi import FastAPI
from PIL import Image

from service.recovery import MeshRecovery
from service.rest.app import create_app
from service.serve import open_core
from service.settings import load_settings
from service.telemetry.logs import BackgroundHandler, JsonFormatter

SENT_AFTER_S = 0.1  # so often spans are sent, and so long each turn waits for it: the sending is its, too
COLLECTOR = """
import http.server
class Taker(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker)
print(server.server_port, flush=True)
server.serve_forever()
"""
VARIANTS: dict[str, tuple[str, bool, dict[str, str]]] = {  # traces, access log, variables
    "no traces, no log": ("off", False, {}),
    "log": ("off", True, {}),
    "log, every request traced": ("otlp", True, {}),
    "log, 1 in 100 traced": (
        "otlp",
        True,
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"},
    ),
    "log, every request traced, collector away": ("otlp", True, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}),
}


async def ask(app: FastAPI, method: str, path: str, body: bytes) -> None:
    headers = [(b"host", b"test"), (b"content-type", b"image/jpeg"), (b"content-length", str(len(body)).encode())]
    scope: dict[str, Any] = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "state": {}}
    scope |= {"method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
    scope |= {"scheme": "http", "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2)}
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    status: list[int] = []

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            status.append(message["status"])

    await app(scope, receive, send)
    assert status == [200], status


async def measure(rounds: int, requests: int, address: str) -> None:
    access = logging.getLogger("service.access")
    with open(os.devnull, "wb", buffering=0) as sink:
        handler = BackgroundHandler(sink)
        handler.setFormatter(JsonFormatter())
        access.addHandler(handler)
        access.propagate = False
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        os.environ["OTEL_BSP_SCHEDULE_DELAY"] = str(int(1e3 * SENT_AFTER_S))
        cores: dict[str, tuple[MeshRecovery, FastAPI, bool]] = {}
        for name, (traces, logged, variables) in VARIANTS.items():
            os.environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": address} | variables
            core = open_core(load_settings({"traces": traces, "engine": "fake"}))
            await core.warm_up()
            cores[name] = core, create_app(core, max_body_bytes=2**24), logged
            for variable in variables:
                del os.environ[variable]
        picture = io.BytesIO()
        Image.new("RGB", (64, 64)).save(picture, "JPEG")
        work = {"GET /v1/version": ("GET", "/v1/version", b"", requests)}
        work["POST /v1/reconstruct"] = ("POST", "/v1/reconstruct", picture.getvalue(), requests)
        for title, (method, path, body, count) in work.items():
            found: dict[str, list[float]] = {name: [] for name in VARIANTS}
            for number in range(-1, rounds):  # the first round warms up
                for name, (_, app, logged) in cores.items():
                    access.setLevel(logging.INFO if logged else logging.CRITICAL)
                    begin = time.process_time()
                    for _ in range(count):
                        await ask(app, method, path, body)
                    await asyncio.sleep(2 * SENT_AFTER_S)
                    if number >= 0:
                        found[name].append(1e6 * (time.process_time() - begin) / count)
            print(f"{title}: microseconds of processor time per request, median of {rounds} rounds of {count}")
            base = found[next(iter(VARIANTS))]
            for name, times in found.items():
                more = statistics.median(ours - bare for ours, bare in zip(times, base, strict=True))
                print(f"  {name:45} {statistics.median(times):9.0f}   {more:+8.0f}")
        for core, _, _ in cores.values():
            await core.aclose()
        handler.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--requests", type=int, default=200)
    args = parser.parse_args()
    with subprocess.Popen([sys.executable, "-c", COLLECTOR], stdout=subprocess.PIPE, text=True) as collector:
        assert collector.stdout
        try:
            asyncio.run(measure(args.rounds, args.requests, f"http://127.0.0.1:{int(collector.stdout.readline())}"))
        finally:
            collector.kill()


if __name__ == "__main__":
    main()
