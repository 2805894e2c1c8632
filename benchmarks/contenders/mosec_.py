"""mosec: `python mosec_.py --port PORT`; WORKERS processes by the environment, for its flags are its own."""

import os

from mosec import Server, Worker

from depthhmr_cli.plain_loop import PlainLoop
from service.settings import load_settings

WORKERS = int(os.environ["WORKERS"])


class Reconstruct(Worker):
    def __init__(self) -> None:
        self.work = PlainLoop(load_settings({"threads": 0 if WORKERS == 1 else 1}))

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes) -> bytes:
        return self.work(data)

    def serialize(self, data: bytes) -> bytes:
        return data


if __name__ == "__main__":
    server = Server()
    server.append_worker(Reconstruct, num=WORKERS, route="/reconstruct")
    server.run()
