"""A real service in a process of its own, and servers that show the faults that a real one does not."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest

from depthhmr_cli.running import RunningService, running_service
from service.rpc.pb import reconstruction_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["ReconstructionService"].full_name


@pytest.fixture(scope="session")
def running(model_dir) -> Iterator[RunningService]:
    with running_service("--model-dir", str(model_dir)) as started:
        yield started


@pytest.fixture(scope="session", params=["http", "grpc"])
def address(request, running: RunningService) -> str:
    """Of the real service, over either protocol."""
    return running.address if request.param == "http" else f"grpc://127.0.0.1:{running.grpc_port}"


@pytest.fixture(scope="session")
def grpc_address(running: RunningService) -> str:
    return f"grpc://127.0.0.1:{running.grpc_port}"


@pytest.fixture(name="grpc_server")
def grpc_server_starter() -> Iterator[Callable[..., str]]:
    """`grpc_server(calls, credentials)` starts a server and gives its address."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(grpc_server(*arguments))


@pytest.fixture
def fake_grpc(grpc_server) -> Callable[..., str]:
    """`fake_grpc(Reconstruct=f, ReconstructStream=g)` starts a server of these calls and gives its address.

    `f(request, context)` returns a message or raw bytes; `g(requests, context)` yields them.
    """
    return lambda **calls: grpc_server(calls)


@contextmanager
def grpc_server(calls: dict[str, Callable[..., Any]], credentials: Any = None) -> Iterator[str]:
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool)
        methods = {name: handler_of(name, call) for name, call in calls.items()}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, methods)])
        if credentials is None:
            port, scheme = server.add_insecure_port("127.0.0.1:0"), "grpc"
        else:
            port, scheme = server.add_secure_port("127.0.0.1:0", credentials), "grpcs"
        server.start()
        try:
            yield f"{scheme}://127.0.0.1:{port}"
        finally:
            server.stop(0).wait(5)


def handler_of(name: str, call: Callable[..., Any]) -> grpc.RpcMethodHandler:
    made, request = {
        "Reconstruct": (grpc.unary_unary_rpc_method_handler, pb.ReconstructRequest),
        "GetInfo": (grpc.unary_unary_rpc_method_handler, pb.GetInfoRequest),
        "ReconstructStream": (grpc.stream_stream_rpc_method_handler, pb.ReconstructStreamRequest),
    }[name]
    return made(
        call,
        request_deserializer=request.FromString,
        response_serializer=lambda answer: answer if isinstance(answer, bytes) else answer.SerializeToString(),
    )


@pytest.fixture(name="http_server")
def http_server_starter() -> Iterator[Callable[..., str]]:
    """`http_server(answer, ..., context=None)` starts a server that gives the answers in turn, the last one for ever.

    An answer is (status, headers, body), or a function of the handler for what is no decent answer.
    """
    with ExitStack() as stack:
        yield lambda *answers, **options: stack.enter_context(http_server(answers, **options))


@pytest.fixture
def fake_http(http_server) -> Callable[..., str]:
    return http_server


@contextmanager
def http_server(answers: tuple[Any, ...], context: Any = None) -> Iterator[str]:
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.server.seen.append((self.path, self.headers))  # type: ignore[attr-defined]
            answer = left.pop(0) if len(left) > 1 else left[0]
            if callable(answer):
                answer(self)
                return
            status, headers, body = answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen = []  # type: ignore[attr-defined]
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        address = Address(f"http{'s' if context else ''}://127.0.0.1:{server.server_address[1]}")
        address.seen = server.seen  # type: ignore[attr-defined]
        yield address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Address(str):
    """An address that knows which requests came: (path, headers) of each."""

    seen: list[tuple[str, Any]]
