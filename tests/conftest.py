"""Shared pieces: a complete, real model folder with a tiny network in it, and pictures it finds people in."""

import base64
import http.server
import io
import json
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from bodykit.body import load_body
from bodykit.errors import UserError
from bodykit.manifest import ONNX_PATH, BodyId, Manifest, TensorSpec, sha256_of
from depthhmr_cli.local_triton import find_server
from service.rest.app import create_app
from service.serve import open_core
from service.settings import Settings

SIZE, QUERIES = 32, 3
DISTANCES_M = (3.0, 2.0, 4.0)  # of the three people the tiny network knows; the second is the nearest
QUADRANTS = ((0, 0), (0, SIZE // 2), (SIZE // 2, 0))  # top left, top right, bottom left (row, column)
BRIGHT = 200  # a quadrant this bright or brighter holds a person


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("DEPTHHMR_", "OTEL_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def bundled_triton() -> None:
    """Skips where no real Triton server can run."""
    try:
        find_server()
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def one_event_loop(anyio_backend: str) -> AsyncIterator[None]:
    """All asynchronous tests share an event loop, which lives while this does.

    gRPC has one queue of events for all loops of a process: an event of a call that somebody has left, and whose loop
    has closed since, is an error in whatever loop takes it out of the queue, which is that of some later test.
    """
    yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("anyio"):
            item.fixturenames.insert(0, "one_event_loop")


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory) -> Path:
    """A model folder whose network finds one person in each bright quadrant but the last. See `tiny_network`."""
    return write_model(tmp_path_factory.mktemp("model") / "tiny", tiny_network())


@pytest.fixture(scope="session", name="changed_model")
def changed_model_writer() -> Callable[..., Path]:
    """Writes a model folder whose network is the tiny one after a change: `changed_model(folder, change)`."""

    def write(folder: Path, change: Callable) -> Path:
        import onnx

        model = onnx.load_from_string(tiny_network())
        change(model.graph)
        return write_model(folder, model.SerializeToString())

    return write


@pytest.fixture
async def core(model_dir):
    """The application core over the tiny network, warm."""
    opened = open_core(Settings(model_dir=model_dir))
    await opened.warm_up()
    yield opened
    await opened.aclose()


@pytest.fixture
async def client(core):
    """An HTTP client of the REST application around `core`, in this process."""
    app = create_app(core, max_body_bytes=2**20, body_timeout_s=1.0)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


@pytest.fixture(scope="session")
def certificates(tmp_path_factory) -> tuple[Path, tuple[Path, Path], tuple[Path, Path]]:
    """A certificate authority, and certificate and key of a server on localhost and of a client, as PEM files."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-days", "2")
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority")
    pairs = []
    for name in ("server", "client"):
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        openssl(
            "req", "-x509", *curve, *signed, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}"
        )
        pairs.append((folder / f"{name}.pem", folder / f"{name}.key"))
    return folder / "ca.pem", pairs[0], pairs[1]


@pytest.fixture(scope="session")
def people_jpeg() -> bytes:
    """A JPEG of 96 x 64 pixels in which the tiny network finds two people."""
    return encoded(people_picture(96, 64), quality=95)


@pytest.fixture(scope="session")
def empty_jpeg() -> bytes:
    """A dark JPEG of 96 x 64 pixels with nobody in it."""
    return encoded(Image.new("RGB", (96, 64), (10, 10, 10)))


@pytest.fixture(scope="session", name="people_picture")
def people_picture_maker() -> Callable[..., Image.Image]:
    return people_picture


@pytest.fixture(scope="session", name="encoded")
def encoder() -> Callable[..., bytes]:
    return encoded


def people_picture(width: int, height: int) -> Image.Image:
    """A dark picture with a bright top: the tiny network finds a person top left and one top right."""
    pixels = np.full((height, width, 3), 10, np.uint8)
    pixels[: height // 2] = 250
    return Image.fromarray(pixels)


def encoded(picture: Image.Image, format_name: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()


def write_model(folder: Path, network: bytes) -> Path:
    (folder / ONNX_PATH).parent.mkdir(parents=True)
    (folder / ONNX_PATH).write_bytes(network)
    tiny_manifest(sha256_of(network)).write(folder)
    return folder


def tiny_manifest(sha256: str) -> Manifest:
    body = load_body()
    return Manifest(
        name="tiny",
        version="1",
        preset="test",
        input_size=SIZE,
        queries=QUERIES,
        threshold=0.5,
        opset=18,
        inputs=(TensorSpec("image", "uint8", (-1, SIZE, SIZE, 3)), TensorSpec("intrinsics", "float32", (-1, 4))),
        outputs=(
            TensorSpec("scores", "float32", (-1, QUERIES)),
            TensorSpec("rotations", "float32", (-1, QUERIES, 24, 3, 3)),
            TensorSpec("betas", "float32", (-1, QUERIES, 10)),
            TensorSpec("translation", "float32", (-1, QUERIES, 3)),
            TensorSpec("boxes", "float32", (-1, QUERIES, 4)),
            TensorSpec("depth", "float32", (-1, SIZE // 4, SIZE // 4)),
        ),
        body=BodyId(body.name, body.version, body.sha256),
        data="none",
        license="Apache-2.0",
        sha256=sha256,
    )


def tiny_network() -> bytes:
    """ONNX with the whole contract. Each query watches the middle of one quadrant of the square; its score is how
    much brighter than `BRIGHT` that is, through a sigmoid. Everyone stands upright, faces the camera, and is placed
    on the ray through the quadrant's middle (with the given intrinsics) at a fixed distance.
    """
    from onnx import TensorProto, helper, numpy_helper

    half, margin = SIZE // 2, SIZE // 8
    upright = np.tile(np.eye(3, dtype=np.float32), (QUERIES, 24, 1, 1))
    upright[:, 0] = np.diag([1, -1, -1])
    centres = np.array([[column + half / 2, row + half / 2] for row, column in QUADRANTS], np.float32)
    boxes = np.concatenate([centres - half / 2, centres + half / 2], axis=1)
    constants = {
        "bright": np.array([BRIGHT], np.float32),
        "softness": np.array([0.05], np.float32),
        "upright": upright[None],
        "no_betas": np.zeros((1, QUERIES, 10), np.float32),
        "centres": centres[None],
        "distances": np.array(DISTANCES_M, np.float32).reshape(1, QUERIES, 1),
        "some_boxes": boxes[None],
        "one_depth": np.full((1, SIZE // 4, SIZE // 4), 2.5, np.float32),
        "three": np.array([3], np.int64),
        "one": np.array([1], np.int64),
        "zero": np.array([0], np.int64),
        "two": np.array([2], np.int64),
        "four": np.array([4], np.int64),
        "last": np.array([2], np.int64),
    }
    nodes = []

    def node(kind: str, inputs: list[str], output: str, **attributes) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    node("Cast", ["image"], "pixels", to=TensorProto.FLOAT)
    means = []
    for query, (row, column) in enumerate(QUADRANTS):
        constants[f"from{query}"] = np.array([row + margin, column + margin], np.int64)
        constants[f"to{query}"] = np.array([row + half - margin, column + half - margin], np.int64)
        node("Slice", ["pixels", f"from{query}", f"to{query}", "rows_columns"], f"patch{query}")
        means.append(node("ReduceMean", [f"patch{query}", "all_but_batch"], f"mean{query}", keepdims=0))
        means[-1] = node("Unsqueeze", [means[-1], "one"], f"column{query}")
    constants["rows_columns"] = np.array([1, 2], np.int64)
    constants["all_but_batch"] = np.array([1, 2, 3], np.int64)
    node("Concat", means, "means", axis=1)
    node("Mul", [node("Sub", ["means", "bright"], "over"), "softness"], "logits")
    node("Sigmoid", ["logits"], "scores")

    # Zeros of the right batch size: whatever is added to them gets the batch axis.
    node("Mul", ["means", "nothing"], "zeros")  # [B, K]
    constants["nothing"] = np.array([0], np.float32)
    for rank in (3, 4, 5):
        constants[f"axes{rank}"] = np.arange(2, rank, dtype=np.int64)
        node("Unsqueeze", ["zeros", f"axes{rank}"], f"zeros{rank}")
    node("Add", ["zeros5", "upright"], "rotations")
    node("Add", ["zeros3", "no_betas"], "betas")
    node("Add", ["zeros3", "some_boxes"], "boxes")
    node("Unsqueeze", [node("ReduceMean", ["zeros", "one"], "zero_each", keepdims=1), "two"], "zeros_depth")
    node("Add", ["zeros_depth", "one_depth"], "depth")

    node("Unsqueeze", ["intrinsics", "one"], "camera")  # [B, 1, 4]
    node("Slice", ["camera", "zero", "two", "last"], "focal")
    node("Slice", ["camera", "two", "four", "last"], "principal")
    node("Div", [node("Sub", ["centres", "principal"], "offset"), "focal"], "ray")
    node("Mul", ["ray", "distances"], "sideways")
    node("Add", ["zeros3", "distances"], "away")
    node("Concat", ["sideways", "away"], "translation", axis=2)

    manifest = tiny_manifest("")
    dtypes = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}

    def value(spec: TensorSpec):
        shape = ["batch", *spec.shape[1:]]
        return helper.make_tensor_value_info(spec.name, dtypes[spec.dtype], shape)

    graph = helper.make_graph(
        nodes,
        "tiny",
        [value(spec) for spec in manifest.inputs],
        [value(spec) for spec in manifest.outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", manifest.opset)], ir_version=10)
    return model.SerializeToString()


class Collector:
    """An OTLP collector on loopback. `take` is what it does before it answers, and may be replaced."""

    def __init__(self) -> None:
        self.spans: list = []  # as they came
        self.status, self.take = 200, lambda: None
        self._arrived = threading.Condition()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.take()
                collector.arrive(body if self.headers["Content-Type"] == "application/x-protobuf" else from_json(body))
                with suppress(OSError):  # the service may be gone
                    self.send_response(collector.status)
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def arrive(self, body: bytes) -> None:
        """Take a request in its binary form."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        with self._arrived:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    self.spans += scope.spans
            self._arrived.notify_all()

    def named(self, name: str, count: int = 1) -> list:
        """The spans of that name, once there are so many."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self._named(name)) >= count, 10), [it.name for it in self.spans]
            return self._named(name)

    def _named(self, name: str) -> list:
        return [span for span in self.spans if span.name == name]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector(monkeypatch) -> Iterator[Collector]:
    """A collector that takes what is sent, and the variables that lead to it."""
    opened = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", opened.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")  # milliseconds
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield opened
    opened.stop()


@pytest.fixture
async def traced_core(collector, model_dir):
    """The application core over the tiny network, warm, with traces that go to `collector`."""
    opened = open_core(Settings(model_dir=model_dir, traces="otlp"))
    await opened.warm_up()
    yield opened
    await opened.aclose()


def from_json(body: bytes) -> bytes:
    """The binary form of a request in OTLP's JSON, which Triton sends; ids are hexadecimal there."""
    from google.protobuf import json_format
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    def mended(item: dict) -> dict:
        return {
            name: base64.b64encode(bytes.fromhex(value)).decode()
            if name.lower().endswith(("traceid", "spanid"))
            else value
            for name, value in item.items()
        }

    message = json.loads(body, object_hook=mended)
    return json_format.ParseDict(message, ExportTraceServiceRequest(), ignore_unknown_fields=True).SerializeToString()
