"""Ray Serve: `python ray_serve.py PORT WORKERS`."""

import sys
import threading

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from depthhmr_cli.plain_loop import PlainLoop
from service.settings import load_settings

PORT, WORKERS = int(sys.argv[1]), int(sys.argv[2])


@serve.deployment(num_replicas=WORKERS, ray_actor_options={"num_cpus": 0.5})
class Reconstruct:
    def __init__(self, threads: int) -> None:
        self.work = PlainLoop(load_settings({"threads": threads}))

    async def __call__(self, request: Request) -> Response:
        return Response(self.work(await request.body()), media_type="application/json")


if __name__ == "__main__":
    ray.init(include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(Reconstruct.bind(0 if WORKERS == 1 else 1), route_prefix="/reconstruct")
    threading.Event().wait()
