"""The clients of `depthhmr bench`, kept simple so that the service dominates the measurement."""

import http.client
import time
from collections import deque
from collections.abc import Callable, Iterator

from bodykit.errors import UserError

Span = tuple[float, float]  # begin and end, seconds of time.perf_counter
# port, photo, number of images, what to call when connected -> when each image was sent and answered
Sender = Callable[[int, bytes, int, Callable[[], object]], list[Span]]
HEADERS = {"Content-Type": "image/jpeg"}
TIMEOUT_S = 60.0
IN_FLIGHT = 8  # frames of a stream


def send_rest(port: int, photo: bytes, count: int, connected: Callable[[], object]) -> list[Span]:
    """One request after another."""
    latencies = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.connect()
        connected()
        for _ in range(count):
            start = time.perf_counter()
            connection.request("POST", "/v1/reconstruct", photo, HEADERS)
            response = connection.getresponse()
            body = response.read()
            latencies.append((start, time.perf_counter()))
            if response.status != 200:
                raise UserError(f"the service answered {response.status}: {body[:300].decode(errors='replace')}")
    finally:
        connection.close()
    return latencies


def send_unary(port: int, photo: bytes, count: int, connected: Callable[[], object]) -> list[Span]:
    """One gRPC call after another."""
    import grpc

    from service.rpc.pb import reconstruction_pb2 as pb
    from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub

    latencies = []
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        stub, request = ReconstructionServiceStub(channel), pb.ReconstructRequest(image=photo)
        grpc.channel_ready_future(channel).result(TIMEOUT_S)
        connected()
        for _ in range(count):
            start = time.perf_counter()
            stub.Reconstruct(request, timeout=TIMEOUT_S)
            latencies.append((start, time.perf_counter()))
    return latencies


def send_stream(port: int, photo: bytes, count: int, connected: Callable[[], object]) -> list[Span]:
    """Frames of one stream, written as fast as the service takes them; the latency runs from the write to the response."""
    import grpc

    from service.rpc.pb import reconstruction_pb2 as pb
    from service.rpc.pb.reconstruction_pb2_grpc import ReconstructionServiceStub

    begun: deque[float] = deque()

    def messages() -> Iterator[pb.ReconstructStreamRequest]:
        yield pb.ReconstructStreamRequest(config=pb.StreamConfig(max_in_flight=IN_FLIGHT))
        for frame_id in range(count):
            begun.append(time.perf_counter())
            yield pb.ReconstructStreamRequest(frame=pb.Frame(frame_id=frame_id, image=photo))

    latencies = []
    with grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        grpc.channel_ready_future(channel).result(TIMEOUT_S)
        connected()
        for answer in ReconstructionServiceStub(channel).ReconstructStream(messages(), timeout=TIMEOUT_S):
            if answer.WhichOneof("message") == "result":
                latencies.append((begun.popleft(), time.perf_counter()))
    if len(latencies) != count:
        raise UserError(f"the service answered {len(latencies)} of {count} frames")
    return latencies


SENDERS: dict[str, Sender] = {"REST": send_rest, "gRPC": send_unary, "gRPC stream": send_stream}
