"""Overload of the service with an engine that sleeps: what queue, refusals and protocols do, whatever else the machine does.

    python benchmarks/overload_of_the_queue.py --image-s 0.05 --seconds 60

The clients and the table are those of `depthhmr bench --overload`.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from bodykit.body import load_body
from bodykit.manifest import Manifest
from depthhmr_cli.bench_overload import Bench, print_table, write_keys
from depthhmr_cli.running import DEMO_IMAGE, RunningService
from service.access.authenticator import FileAuthenticator
from service.access.keys import ApiKeys
from service.access.watched import Watched
from service.decoding.images import ImageLimits
from service.engines.base import Call, Tensors
from service.engines.fake import FakeEngine, nobody
from service.recovery import MeshRecovery
from service.rest.app import create_app
from service.rpc.limits import RpcLimits
from service.rpc.server import RpcServer
from service.serve import listen
from service.settings import default_model_dir

LIMIT = 16 * 2**20


class SleepingEngine(FakeEngine):
    """Finds nobody, one image after the other, each after so many seconds."""

    def __init__(self, manifest: Manifest, image_s: float) -> None:
        super().__init__(lambda tensors: nobody(manifest))
        self._image_s = image_s

    async def infer(self, tensors: Tensors, call: Call) -> Tensors:
        await asyncio.sleep(self._image_s)
        return await super().infer(tensors, call)


async def serve(image_s: float, keys_file: Path) -> None:
    """Until killed; the first line of the output has the ports."""
    import uvicorn

    manifest = Manifest.read(default_model_dir())
    core = MeshRecovery(SleepingEngine(manifest, image_s), manifest, load_body(), limits=ImageLimits())
    await core.warm_up()
    authenticator = FileAuthenticator(Watched(keys_file, ApiKeys.read))
    rpc = RpcServer(core, "127.0.0.1:0", RpcLimits(LIMIT, 64), authenticator=authenticator)
    await rpc.start()
    with listen("127.0.0.1", 0) as listener:
        print(listener.getsockname()[1], rpc.port, flush=True)
        app = create_app(core, max_body_bytes=LIMIT, authenticator=authenticator)
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
        await uvicorn.Server(config).serve(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-s", type=float, default=0.05, help="time that the engine takes (default: 0.05)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload (default: 60)")
    parser.add_argument("--deadline-s", type=float, default=2.0, help="of each request (default: 2)")
    parser.add_argument("--serve", type=Path, metavar="KEYS", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve is not None:
        import uvloop

        uvloop.run(serve(args.image_s, args.serve))
        return
    with tempfile.TemporaryDirectory() as folder:
        keys = write_keys(Path(folder) / "keys")
        command = [sys.executable, __file__, "--image-s", str(args.image_s), "--serve", str(Path(folder) / "keys")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                port, grpc_port = map(int, process.stdout.readline().split())
                bench = Bench(RunningService(port, grpc_port, process.pid, 0.0), DEMO_IMAGE, 0, keys, args.deadline_s)
                bench.capacity(2.0)
                before = bench.capacity(args.seconds / 4)
                found = bench.open(3 * before, args.seconds)
                after = bench.capacity(args.seconds / 4)
            finally:
                process.kill()
    print_table(found, (before + after) / 2, seconds=args.seconds, deadline_s=args.deadline_s)


if __name__ == "__main__":
    main()
