"""`depthhmr triton`: the files of a Triton server for the network, and a real server for trying it without containers.

examples:
  depthhmr triton files --model-dir model_repository/depthhmr
  depthhmr triton serve --grpc-port 8001
  depthhmr serve --engine triton --triton-url 127.0.0.1:8001
"""

import argparse
from pathlib import Path

from bodykit.errors import UserError

HELP = "write Triton's files for a model folder, or run the bundled Triton server on this machine"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    files = actions.add_parser("files", help="write config.pbtxt, configs/*.pbtxt and 1/model.py from manifest.json")
    files.set_defaults(action=write_files)

    serve = actions.add_parser("serve", help="run the Triton server of the package nvidia-pytriton until Ctrl-C")
    serve.add_argument("--grpc-port", type=int, default=8001, help="port of its gRPC, on 127.0.0.1 (default: 8001)")
    serve.set_defaults(action=serve_until_interrupted)

    for action in (files, serve):
        action.add_argument("--model-dir", type=Path, help="folder with manifest.json (default: the default network)")


def run(args: argparse.Namespace) -> int:
    from service.settings import default_model_dir

    folder = args.model_dir or default_model_dir()
    status: int = args.action(args, folder)
    return status


def write_files(args: argparse.Namespace, folder: Path) -> int:
    from bodykit.manifest import Manifest
    from bodykit.triton_config import write_triton_files

    try:
        for path in write_triton_files(Manifest.read(folder), folder):
            print(f"wrote {path}")
    except OSError as error:
        raise UserError(f"cannot write {error.filename}: {error.strerror}") from error
    return 0


def serve_until_interrupted(args: argparse.Namespace, folder: Path) -> int:
    import time

    from depthhmr_cli.local_triton import LocalTriton

    with LocalTriton(folder, grpc_port=args.grpc_port) as server:
        server.start()
        print(f"triton serves {server.model} at {server.url}, metrics at {server.metrics_url}", flush=True)
        print(f"now: depthhmr serve --engine triton --triton-url {server.url}", flush=True)
        try:
            while server.running:
                time.sleep(0.2)
        except KeyboardInterrupt:
            server.stop()
            print("triton stopped")
            return 0
        raise UserError("the Triton server ended by itself")
