"""LitServe: `python litserve_.py PORT WORKERS`. Files come as forms."""

import sys
from typing import Any

import litserve as ls
from fastapi import Request, Response

from depthhmr_cli.plain_loop import PlainLoop
from service.settings import load_settings


class Api(ls.LitAPI):
    def setup(self, device: str) -> None:
        self.work = PlainLoop(load_settings({"threads": 0 if WORKERS == 1 else 1}))

    def decode_request(self, request: Request) -> bytes:
        return request["image"].file.read()

    def predict(self, content: bytes) -> bytes:
        return self.work(content)

    def encode_response(self, output: bytes) -> Any:
        return Response(output, media_type="application/json")


PORT, WORKERS = int(sys.argv[1]), int(sys.argv[2])
if __name__ == "__main__":
    server = ls.LitServer(Api(api_path="/reconstruct"), accelerator="cpu", workers_per_device=WORKERS)
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False, log_level="warning")
