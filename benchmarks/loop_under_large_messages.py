"""How long one large image keeps the event loop of the service: `python benchmarks/loop_under_large_messages.py`.

For each size a service of its own, and 20 JPEGs of about so many megabytes of noise, over REST, as calls and in a stream.
"""

import argparse
import io
import re
import urllib.request

import grpc
import numpy as np
from PIL import Image

from depthhmr_cli.running import running_service
from service.rpc.pb import reconstruction_pb2 as pb
from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub

IMAGES = 20
MESSAGE_BYTES = 2**25


def noise_of(megabytes: float) -> bytes:
    """A JPEG of noise takes about one byte a pixel at this quality."""
    side = int((megabytes * 1e6) ** 0.5)
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def longest_block_ms(protocol: str, image: bytes) -> float:
    with running_service("--log-level", "error") as service:
        if protocol == "REST":
            for _ in range(IMAGES):
                request = urllib.request.Request(
                    f"{service.address}/v1/reconstruct", image, {"Content-Type": "image/jpeg"}
                )
                urllib.request.urlopen(request, timeout=60).read()
        else:
            size = ("grpc.max_send_message_length", MESSAGE_BYTES)
            with grpc.insecure_channel(f"127.0.0.1:{service.grpc_port}", [size]) as channel:
                stub = ReconstructionServiceStub(channel)
                if protocol == "calls":
                    for _ in range(IMAGES):
                        stub.Reconstruct(pb.ReconstructRequest(image=image), timeout=60)
                else:
                    config = pb.ReconstructStreamRequest(config=pb.StreamConfig(max_in_flight=1))
                    frames = [pb.Frame(frame_id=number, image=image) for number in range(IMAGES)]
                    messages = [config, *[pb.ReconstructStreamRequest(frame=frame) for frame in frames]]
                    kinds = [m.WhichOneof("message") for m in stub.ReconstructStream(iter(messages), timeout=60)]
                    assert kinds.count("result") == IMAGES, kinds
        text = urllib.request.urlopen(f"{service.address}/metrics", timeout=60).read().decode()
    found = re.search(r"^depthhmr_event_loop_longest_block_seconds (\S+)$", text, re.MULTILINE)
    assert found
    return 1e3 * float(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[0.1, 1, 2, 4, 8, 15])
    args = parser.parse_args()
    print("longest block of the event loop, ms\n    MB    REST   calls  stream")
    for megabytes in args.megabytes:
        image = noise_of(megabytes)
        blocks = [longest_block_ms(protocol, image) for protocol in ("REST", "calls", "stream")]
        print(f"{len(image) / 1e6:6.1f}" + "".join(f"{block:8.1f}" for block in blocks), flush=True)


if __name__ == "__main__":
    main()
