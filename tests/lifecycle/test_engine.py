"""A failing embedded engine: what happens to the requests and to the process."""

import asyncio
import json
import signal

import numpy as np
import pytest

from bodykit.manifest import Manifest
from fuzz.checked_clients import CheckedClients, Ports, table
from service.engines import embedded
from service.engines.base import Call, blank_inputs, output_names
from service.engines.embedded import EmbeddedEngine
from service.errors import EngineFailed, EngineUnavailable

pytestmark = pytest.mark.slow

JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="session")
def failing_network(tmp_path_factory, changed_model):
    """A model folder whose network fails on a picture with a bright spot."""
    from onnx import helper, numpy_helper

    def fail(graph) -> None:
        graph.initializer.append(numpy_helper.from_array(np.float32(100), "hundred"))
        graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "list_of_one"))
        place = next(index for index, node in enumerate(graph.node) if node.output[0] == "means") + 1
        index = [
            helper.make_node("ReduceMax", ["means"], ["brightest"], keepdims=0),
            helper.make_node("Greater", ["brightest", "hundred"], ["is_bright"]),
            helper.make_node("Cast", ["is_bright"], ["index"], to=7),
            helper.make_node("Gather", ["list_of_one", "index"], ["nothing_or_error"]),  # there is no second one
            helper.make_node("Add", ["means", "nothing_or_error"], ["checked"]),
        ]
        for node in graph.node:
            node.input[:] = ["checked" if name == "means" else name for name in node.input]
        for offset, node in enumerate(index):
            graph.node.insert(place + offset, node)

    return changed_model(tmp_path_factory.mktemp("failing") / "tiny", fail)


def test_a_picture_on_which_the_network_fails_is_that_pictures_fault(start, failing_network, people_jpeg, empty_jpeg):
    process = start(folder=failing_network).until_ready()

    for _ in range(3):
        status, _, body = process.ask("POST", "/v1/reconstruct", people_jpeg, JPEG)
        assert status == 502 and json.loads(body)["type"].endswith(":engine-failed")
        assert process.people(empty_jpeg) == 0

    assert process.ask("GET", "/v1/health/ready")[0] == 200 and process.running


def test_an_engine_that_fails_at_everything_ends_the_process_for_its_supervisor(start, people_jpeg, tmp_path):
    """ONNX Runtime raises on every run from the third one on."""
    (tmp_path / "sitecustomize.py").write_text(BREAKS_LATER)
    process = start(PYTHONPATH=str(tmp_path)).until_ready()
    assert process.people(people_jpeg) == 2

    status, _, body = process.ask("POST", "/v1/reconstruct", people_jpeg, JPEG)

    assert status == 502 and json.loads(body)["type"].endswith(":engine-failed")
    assert process.ended() == 70
    assert "the engine embedded is lost, and so the service ends" in process.error


BREAKS_LATER = """
import onnxruntime
run, runs = onnxruntime.InferenceSession.run, []
def breaks(*arguments, **options):
    runs.append(1)
    if len(runs) > 2:  # the first is the warm-up
        raise RuntimeError("broken")
    return run(*arguments, **options)
onnxruntime.InferenceSession.run = breaks
"""


@pytest.mark.anyio
async def test_a_run_that_never_ends_is_noticed(endless_network, monkeypatch, people_jpeg):
    monkeypatch.setattr(embedded, "LOOK_EVERY_S", 0.01)
    manifest = Manifest.read(endless_network)
    engine = EmbeddedEngine(manifest.verified_onnx(endless_network), manifest)
    wanted = output_names(manifest)
    await engine.infer(blank_inputs(manifest), Call.within(60, wanted))
    bright = {**blank_inputs(manifest), "image": np.full((1, 32, 32, 3), 255, np.uint8)}

    asking = asyncio.ensure_future(engine.infer(bright, Call.within(60, wanted)))
    reason = await engine.lost()

    assert "has not ended" in reason and not engine.ready
    with pytest.raises(EngineUnavailable, match="broken"):
        await engine.infer(blank_inputs(manifest), Call.within(60, wanted))
    with pytest.raises(EngineFailed):  # the run is terminated
        await asyncio.wait_for(asking, 30)
    await asyncio.wait_for(engine.aclose(), 30)


@pytest.mark.anyio
@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.long)])
async def test_a_process_killed_repeatedly_answers_correctly_or_disconnects(
    start, people_jpeg, empty_jpeg, kills, capsys
):
    """As when ONNX Runtime crashes or the kernel kills the process for its memory: a supervisor restarts it."""
    process = await asyncio.to_thread(start("--log-level", "warning").until_ready)
    ports = Ports(process.port, process.grpc_port)
    options = ("--port", str(ports.port), "--grpc-port", str(ports.grpc_port))
    clients = CheckedClients(lambda: ports, people_jpeg, empty_jpeg)
    for number in range(kills):
        await clients.wait_for_correct(10)
        process.signal(signal.SIGSEGV if number % 2 else signal.SIGKILL)
        assert await asyncio.to_thread(process.ended) < 0
        process = await asyncio.to_thread(start("--log-level", "warning", *options).until_ready)
    await clients.wait_for_correct(10)
    outcomes = await clients.stop()

    with capsys.disabled():
        print(f"\n{kills} kills of the whole process\n{table(outcomes)}")
    assert clients.faults == {} and set(outcomes) <= {"correct", "cut off", "refused: starting", "refused: unavailable"}
