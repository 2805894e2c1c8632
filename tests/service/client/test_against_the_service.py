"""The client against the real service in a process of its own, over REST and over gRPC."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bodykit.body import JOINT_NAMES, load_body
from depthhmr_cli.running import RunningService, running_service
from service.access.keys import hash_of, new_key
from service.client import (
    AsyncClient,
    Camera,
    Client,
    ClientError,
    InvalidUse,
    KeyRefused,
    Reconstruction,
    RequestRefused,
)


@pytest.fixture
def client(address):
    with Client(address) as opened:
        yield opened


def test_people_come_back_with_the_promised_shapes(client, people_jpeg):
    found = client.reconstruct(people_jpeg)

    assert (found.width, found.height, len(found.people)) == (96, 64, 2)
    person = found.people[0]
    shapes = {name: value.shape for name, value in vars(person).items() if isinstance(value, np.ndarray)}
    assert shapes == {
        "box": (4,),
        "translation": (3,),
        "global_orient": (3,),
        "body_pose": (23, 3),
        "betas": (10,),
        "joints_3d": (24, 3),
        "joints_2d": (24, 2),
    }
    assert all(value.dtype == np.float32 for value in vars(person).values() if isinstance(value, np.ndarray))
    assert person.id == 0 and person.track_id is None and person.vertices is None
    assert found.people[0].translation[2] < found.people[1].translation[2]  # near to far
    assert found.info.joint_names == JOINT_NAMES and found.info.body.sha256 == load_body().sha256
    assert found.camera.source == "default" and found.timings.infer > 0 and found.request_id


def test_both_protocols_say_the_same(running, grpc_address, people_jpeg):
    with Client(running.address) as rest, Client(grpc_address) as grpc:
        one, other = (c.reconstruct(people_jpeg, vertices=True, depth=True, glb=True) for c in (rest, grpc))

    for here, there in zip(one.people, other.people, strict=True):
        for name, value in vars(here).items():
            # JSON rounds vertices to 10 micrometres, gRPC sends most other single numbers as float32
            assert np.allclose(value, getattr(there, name), atol=1e-5) if value is not None else name == "track_id"
    assert np.array_equal(one.depth.values, other.depth.values)
    assert one.depth.region == pytest.approx(other.depth.region, rel=1e-6)  # float32 over gRPC
    assert one.glb == other.glb and one.glb[:4] == b"glTF"
    assert one.camera == other.camera and one.info == other.info


def test_everything_that_is_not_asked_for_stays_away(client, people_jpeg):
    found = client.reconstruct(people_jpeg)

    assert found.depth is None and found.glb is None and found.people[0].vertices is None


def test_a_path_bytes_and_pixels_are_all_images(client, people_jpeg, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(people_jpeg)
    pixels = np.asarray(Image.open(io.BytesIO(people_jpeg)))

    counts = [
        len(client.reconstruct(image).people)
        for image in (tmp_path / "photo.jpg", people_jpeg, bytearray(people_jpeg), memoryview(people_jpeg), pixels)
    ]

    assert counts == [2, 2, 2, 2, 2]


def test_options_reach_the_service(client, people_jpeg):
    camera = Camera(100.0, 110.0, 48.0, 32.0)

    assert client.reconstruct(people_jpeg, camera=camera).camera == camera
    assert client.reconstruct(people_jpeg, fov_degrees=90).camera.fx == pytest.approx(48)
    assert len(client.reconstruct(people_jpeg, max_people=1).people) == 1
    assert client.reconstruct(people_jpeg, threshold=0.999).people == ()
    assert client.reconstruct(people_jpeg, request_id="mine-7").request_id == "mine-7"


def test_a_refusal_names_field_reason_and_request(client, people_jpeg):
    with pytest.raises(RequestRefused) as refused:
        client.reconstruct(people_jpeg, threshold=7, request_id="mine-8")

    error = refused.value
    assert error.reason == "invalid-parameter" and error.request_id == "mine-8" and error.attempts == 1
    assert [item.field for item in error.errors] == ["threshold"] and "7" in error.errors[0].message
    assert error.code in ("422", "INVALID_ARGUMENT")


def test_what_is_no_picture_is_refused(client):
    with pytest.raises(RequestRefused, match="expected a JPEG, PNG or WebP image") as refused:
        client.reconstruct(b"Dear sir")

    assert refused.value.reason == "unsupported-media"


def test_info_tells_what_is_loaded(client):
    told, body = client.info(faces=True), load_body()

    assert told.info.model.name == "tiny" and told.vertex_count == len(body.template)
    assert np.array_equal(told.faces, body.faces) and told.faces.dtype == np.int32
    assert "metres" in told.info.units and "x right" in told.info.axes
    assert client.info().faces is None


def test_limits_are_told_over_grpc_only(running, grpc_address):
    with Client(running.address) as rest, Client(grpc_address) as grpc:
        assert rest.info().limits is None
        assert grpc.info().limits.max_image_bytes == 16 * 2**20 and grpc.info().limits.stream_idle_timeout_s == 30


def test_a_batch_has_one_answer_per_image_in_order(running, people_jpeg, empty_jpeg):
    with Client(running.address) as client:
        answers = client.reconstruct_batch([people_jpeg, b"Dear sir", empty_jpeg], fov_degrees=70)

    first, second, third = answers
    assert isinstance(first, Reconstruction) and len(first.people) == 2
    assert isinstance(second, RequestRefused) and second.reason == "unsupported-media" and second.code == "415"
    assert isinstance(third, Reconstruction) and third.people == ()


def test_a_batch_of_nothing_is_no_request():
    with Client("http://127.0.0.1:9", timeout_s=0.5) as client:
        assert client.reconstruct_batch([]) == []


def test_each_protocol_says_where_the_other_is_needed(running, grpc_address, people_jpeg):
    with Client(running.address) as rest, Client(grpc_address) as grpc:
        with pytest.raises(InvalidUse, match="streams go over gRPC"):
            list(rest.stream([people_jpeg]))
        with pytest.raises(InvalidUse, match="batches go over REST"):
            grpc.reconstruct_batch([people_jpeg])
        with pytest.raises(InvalidUse, match="a batch returns JSON only"):
            rest.reconstruct_batch([people_jpeg], glb=True)


@pytest.mark.anyio
async def test_the_asynchronous_client_does_many_calls_at_once(address, people_jpeg):
    import asyncio

    async with AsyncClient(address) as client:
        found = await asyncio.gather(*(client.reconstruct(people_jpeg) for _ in range(8)))

    assert [len(item.people) for item in found] == [2] * 8


@pytest.mark.parametrize(
    "image, message",
    [
        ("photo.jpg", "bytes, a pathlib.Path or a numpy array, got str"),
        (Path("/nowhere/photo.jpg"), "cannot read the image /nowhere/photo.jpg: No such file"),
        (np.zeros((4, 4), np.uint8), r"pixels uint8 \[H, W, 3\], got uint8 \[4, 4\]"),
        (np.zeros((4, 4, 3), np.float32), r"got float32 \[4, 4, 3\]"),
        (np.zeros((0, 4, 3), np.uint8), r"got uint8 \[0, 4, 3\]"),
    ],
)
def test_what_is_no_image_is_refused_before_anything_is_sent(image, message):
    with Client("grpc://127.0.0.1:9") as client, pytest.raises(InvalidUse, match=message):
        client.reconstruct(image)


@pytest.mark.parametrize(
    "address, message",
    [
        ("127.0.0.1:8000", "expected an address such as http://host:8000"),
        ("ftp://host", "expected an address such as"),
        ("http://", "expected an address such as"),
        ("http://host:99999", "cannot read the address"),
        ("http://me:secret@host", "must not contain a user, query or fragment"),
        ("grpc://host/path", "a gRPC address has no path"),
    ],
)
def test_addresses_that_lead_nowhere_are_refused(address, message):
    with pytest.raises(InvalidUse, match=message) as refused:
        Client(address)

    assert isinstance(refused.value, ValueError) and "secret" not in str(refused.value)


def test_options_that_do_not_exist_are_refused_as_python_does(client, people_jpeg):
    with pytest.raises(TypeError, match="unknown option 'treshold'"):
        client.reconstruct(people_jpeg, treshold=0.5)
    with pytest.raises(InvalidUse, match="either camera or fov_degrees"):
        client.reconstruct(people_jpeg, fov_degrees=60, camera=Camera(1, 1, 1, 1))
    with pytest.raises(InvalidUse, match="timeout_s above 0"):
        client.reconstruct(people_jpeg, timeout_s=0)


def test_a_closed_client_says_so(address, people_jpeg):
    client = Client(address)
    client.close()
    client.close()

    with pytest.raises(InvalidUse, match="this client is closed"):
        client.reconstruct(people_jpeg)


def test_importing_the_client_brings_nothing_of_the_server():
    heavy = ["torch", "fastapi", "starlette", "uvicorn", "onnxruntime", "numba", "pydantic", "httpx", "grpc", "PIL"]
    program = f"import sys, service.client; print([name for name in {heavy} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.strip() == "[]"


def test_using_the_client_brings_nothing_of_the_server(running, grpc_address, tmp_path, people_jpeg):
    (tmp_path / "photo.jpg").write_bytes(people_jpeg)
    heavy = ["torch", "fastapi", "starlette", "uvicorn", "onnxruntime", "numba", "pydantic"]
    program = (
        "import sys; from pathlib import Path; from service.client import Client\n"
        f"for address in {[running.address, grpc_address]!r}:\n"
        "    with Client(address) as client: assert len(client.reconstruct(Path(sys.argv[1])).people) == 2\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )

    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path / "photo.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_every_error_of_the_client_is_one_tree():
    from service import client as package

    errors = [value for value in vars(package).values() if isinstance(value, type) and issubclass(value, Exception)]

    assert len(errors) == 9 and all(issubclass(error, ClientError) for error in errors)


@pytest.fixture(scope="module")
def guarded(model_dir, tmp_path_factory) -> Iterator[tuple[RunningService, str]]:
    """A service that wants a key, and the key."""
    file, key = tmp_path_factory.mktemp("keys") / "keys", new_key()
    file.write_text(f"camera-7 {hash_of(key)}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEPTHHMR_API_KEYS_FILE", str(file))
        with running_service("--model-dir", str(model_dir)) as started:
            yield started, key


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_key_opens_the_door(guarded, people_jpeg, scheme):
    service, key = guarded
    address = service.address if scheme == "http" else f"grpc://127.0.0.1:{service.grpc_port}"

    with Client(address, api_key=key) as client:
        assert len(client.reconstruct(people_jpeg).people) == 2
    for wrong in (None, "dhmr_wrong"):
        with Client(address, api_key=wrong) as client, pytest.raises(KeyRefused) as refused:
            client.reconstruct(people_jpeg)
        assert refused.value.reason == "unauthenticated" and refused.value.attempts == 1


def test_a_stream_without_a_key_says_so(guarded, people_jpeg):
    service, key = guarded
    address = f"grpc://127.0.0.1:{service.grpc_port}"

    for _ in range(10):
        with Client(address) as client, pytest.raises(KeyRefused):
            list(client.stream([people_jpeg] * 9))
    with Client(address, api_key=key) as client:
        assert len(list(client.stream([people_jpeg] * 9))) == 11
