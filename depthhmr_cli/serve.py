"""Run the service until it is told to stop (Ctrl-C or SIGTERM).

example:
  depthhmr serve
  depthhmr serve --host 0.0.0.0 --port 9000
"""

import argparse
from pathlib import Path

HELP = "run the service: REST and the web page on one port, gRPC on another"

# Flags that are settings of the same name; the environment (DEPTHHMR_PORT, ...) gives what a flag does not.
SETTINGS = (
    "host",
    "port",
    "grpc_port",
    "engine",
    "triton_url",
    "model_dir",
    "body",
    "threads",
    "max_concurrency",
    "request_timeout_s",
    "log_level",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1, this machine only)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 8000; 0 takes any free one)")
    parser.add_argument("--grpc-port", type=int, help="port for gRPC (default: 50051; 0 takes any free one)")
    add_model_arguments(parser)
    parser.add_argument("--max-concurrency", type=int, help="images in work or waiting before 503 (default: 256)")
    parser.add_argument(
        "--request-timeout-s", type=float, metavar="SECONDS", help="deadline of one image (default: 30)"
    )
    parser.add_argument("--log-level", help="debug, info, warning or error (default: info)")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that choose engine, model and body; `reconstruct` and `check` know them too."""
    parser.add_argument("--engine", help="what runs the network: embedded (default), triton or auto")
    parser.add_argument("--triton-url", metavar="HOST:PORT", help="gRPC of the Triton server (default: 127.0.0.1:8001)")
    parser.add_argument("--model-dir", type=Path, help="folder with manifest.json and 1/model.onnx")
    parser.add_argument("--body", type=Path, metavar="NPZ", help="body file (default: the free body)")
    parser.add_argument("--threads", type=int, help="threads of the network (default: as many as the CPU quota)")


def run(args: argparse.Namespace) -> int:
    from service.process.shutdown import Shutdown

    with Shutdown() as shutdown:  # before the imports, which take a second
        from service.serve import serve
        from service.settings import load_settings

        return serve(load_settings({name: getattr(args, name) for name in SETTINGS}), shutdown)
