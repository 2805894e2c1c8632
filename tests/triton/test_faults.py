"""A real Triton server that dies, hangs, dawdles, refuses or answers nonsense: what clients are told, and when it is over.

The network is the tiny one of the tests, whose answer depends on the camera that it is given: a mixed-up answer shows.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import tritonclient.grpc.aio as triton

from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.manifest import Manifest
from bodykit.triton_config import INSTANCES, write_triton_files
from depthhmr_cli.local_triton import CRASH, STARTS, LocalTriton, opener
from service.engines.base import Call, blank_inputs
from service.engines.triton import TritonEngine
from service.errors import EngineUnavailable
from service.options import Options

pytestmark = [pytest.mark.anyio, pytest.mark.triton, pytest.mark.slow]

URL = "/v1/reconstruct"
JPEG = {"Content-Type": "image/jpeg"}
BACK_WITHIN_S = 2.0  # from the moment that the server is back

SLOW = """
import time
from service.engines.triton_model import TritonPythonModel as Network

class TritonPythonModel(Network):
    def run(self, feed):
        time.sleep({seconds})
        return super().run(feed)
"""
GATED = """
import time
from pathlib import Path
from service.engines.triton_model import TritonPythonModel as Network

class TritonPythonModel(Network):
    def run(self, feed):
        with open({log!r}, "a") as log:
            log.write(" ".join(str(round(focal)) for focal in feed["intrinsics"][:, 0]) + chr(10))
        while Path({gate!r}).exists():
            time.sleep(0.01)
        return super().run(feed)
"""
ODD = """
import numpy as np
from service.engines.triton_model import TritonPythonModel as Network

class TritonPythonModel(Network):
    def run(self, feed):
        outputs = dict(zip(self._outputs, super().run(feed)))
        rows = feed["image"].mean(axis=(2, 3))  # [B, S]: alike in the probe's black and in the warm-up's noise
        if np.ptp(rows, axis=1).max() > 50:
            {change}
        return [outputs[name] for name in self._outputs]
"""


async def post(client, photo: bytes, *, focal: float = 100.0, **query):
    params = {"fx": focal, "fy": focal, "cx": 48, "cy": 32, **query}
    return await client.post(URL, content=photo, headers=JPEG, params=params)


def is_right(response, focal: float = 100.0) -> bool:
    """The tiny network's people stand on rays, at depths 2 and 3 m: x is depth times pixels from the centre over focal."""
    people = response.json()["people"]
    places = [(person["translation"][0], person["translation"][2]) for person in people]
    expected = [(2 * 24 / focal, 2.0), (-3 * 24 / focal, 3.0)]
    return len(places) == 2 and all(
        abs(a - b) < 1e-3
        for got, wanted in zip(places, expected, strict=True)
        for a, b in zip(got, wanted, strict=True)
    )


def problem_of(response) -> str:
    """The short name of a problem; nothing of Triton's own words may stand in it."""
    text = response.text.lower()
    assert not any(word in text for word in ("triton", "grpc", "stub", "traceback", "tcp", "socket", "queue size"))
    return json.loads(text)["type"].rpartition(":")[2]


async def until_serving(client, photo: bytes, *, seconds: float) -> float:
    """Seconds until an image is answered rightly; fails when that takes too long."""
    begin = time.monotonic()
    while True:
        response = await post(client, photo)
        if response.status_code == 200 and is_right(response):
            return time.monotonic() - begin
        assert time.monotonic() - begin < seconds, f"still {response.status_code} after {seconds} s: {response.text}"
        await asyncio.sleep(0.05)


async def until_ready_is(client, status: int, *, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while (await client.get("/v1/health/ready")).status_code != status:
        assert time.monotonic() < end, f"ready did not become {status} within {seconds} s"
        await asyncio.sleep(0.02)


async def is_live(client) -> bool:
    return (await client.get("/v1/health/live")).status_code == 200


async def in_thread(work, *args):
    return await asyncio.to_thread(work, *args)


async def test_a_server_killed_with_images_in_flight_costs_no_client_its_answer(own_triton, service_over, people_jpeg):
    server = own_triton(SLOW.format(seconds=0.1))
    async with service_over(server) as (client, _):
        flying = [asyncio.create_task(post(client, people_jpeg, focal=50.0 + k, timeout_s=5)) for k in range(60)]
        await asyncio.sleep(0.25)

        server.kill()
        begin = time.monotonic()
        responses = await asyncio.gather(*flying)
        told_after = time.monotonic() - begin

        done = [k for k, response in enumerate(responses) if response.status_code == 200]
        assert all(is_right(responses[k], 50.0 + k) for k in done)
        lost = [response for response in responses if response.status_code != 200]
        assert lost and {problem_of(response) for response in lost} == {"engine-unavailable"}
        assert told_after < 5 and all(int(response.headers["retry-after"]) >= 1 for response in lost)
        assert await is_live(client) and (await client.get("/v1/health/ready")).status_code == 503

        await in_thread(server.start)
        assert await until_serving(client, people_jpeg, seconds=BACK_WITHIN_S) < BACK_WITHIN_S
        await until_ready_is(client, 200)


async def test_while_the_server_is_away_images_are_refused_at_once(own_triton, service_over, people_jpeg):
    server = own_triton()
    async with service_over(server) as (client, _):
        server.kill()
        await until_ready_is(client, 503)

        begin = time.monotonic()
        responses = await asyncio.gather(*(post(client, people_jpeg) for _ in range(50)))

        assert {problem_of(response) for response in responses} == {"engine-unavailable"}
        assert time.monotonic() - begin < 2.0
        assert (await client.get("/v1/health/startup")).status_code == 200  # it has started, once


async def test_a_death_without_traffic_is_noticed(own_triton, service_over):
    server = own_triton()
    async with service_over(server) as (client, core):
        await until_ready_is(client, 200)
        server.kill()

        await until_ready_is(client, 503)
        assert "depthhmr_engine_ready 0.0" in core.metrics.text().decode()


async def test_one_dead_stub_of_two_costs_time_and_never_a_wrong_answer(own_triton, service_over, people_jpeg):
    server = own_triton()
    async with service_over(server) as (client, core):
        stub, _ = server.stubs()

        os.kill(stub, signal.SIGKILL)
        responses = await asyncio.gather(*(post(client, people_jpeg, focal=50.0 + k, timeout_s=8) for k in range(20)))

        served = [k for k, response in enumerate(responses) if response.status_code == 200]
        assert served and all(is_right(responses[k], 50.0 + k) for k in served)
        told = {problem_of(response) for response in responses if response.status_code != 200}
        assert told <= {"engine-failed", "engine-unavailable", "deadline-exceeded"}
        assert core.engine.stats.retries > 0 and await is_live(client)


async def test_dead_stubs_are_noticed_though_the_server_says_it_is_ready(own_triton, service_over, people_jpeg):
    server = own_triton()
    async with service_over(server) as (client, _):
        for stub in server.stubs():
            os.kill(stub, signal.SIGKILL)
        first = await post(client, people_jpeg, timeout_s=8)
        await until_ready_is(client, 503, seconds=8)
        second = await post(client, people_jpeg)

        assert server.ready(), "this test is about a server that does not know"
        assert problem_of(first) in ("engine-failed", "deadline-exceeded", "engine-unavailable")
        assert problem_of(second) == "engine-unavailable" and await is_live(client)
        server.kill()
        await in_thread(server.start)
        assert await until_serving(client, people_jpeg, seconds=BACK_WITHIN_S) < BACK_WITHIN_S


async def test_a_server_that_hangs_costs_a_client_no_more_than_its_deadline(own_triton, service_over, people_jpeg):
    server = own_triton()
    async with service_over(server) as (client, _):
        server.signal(signal.SIGSTOP)

        begin = time.monotonic()
        responses = await asyncio.gather(*(post(client, people_jpeg, timeout_s=1) for _ in range(20)))
        took = time.monotonic() - begin

        assert {problem_of(response) for response in responses} <= {"deadline-exceeded", "engine-unavailable"}
        assert "deadline-exceeded" in {problem_of(response) for response in responses} and took < 2
        await until_ready_is(client, 503, seconds=8)
        begin = time.monotonic()
        assert problem_of(await post(client, people_jpeg)) == "engine-unavailable" and time.monotonic() - begin < 0.5
        assert await is_live(client)

        server.signal(signal.SIGCONT)
        assert await until_serving(client, people_jpeg, seconds=BACK_WITHIN_S) < BACK_WITHIN_S


async def test_a_slow_server_stays_ready_and_only_the_impatient_go_away(own_triton, service_over, people_jpeg):
    server = own_triton(SLOW.format(seconds=0.5))
    async with service_over(server) as (client, _):
        hasty, patient = await asyncio.gather(
            post(client, people_jpeg, timeout_s=0.2), post(client, people_jpeg, timeout_s=8)
        )

        assert (hasty.status_code, problem_of(hasty)) == (504, "deadline-exceeded")
        assert is_right(patient)
        assert (await client.get("/v1/health/ready")).status_code == 200


async def test_a_full_queue_is_an_overload_and_no_fault(own_triton, service_over, people_jpeg):
    server = own_triton(SLOW.format(seconds=0.3))
    async with service_over(server, triton_concurrency=200) as (client, _):
        responses = await asyncio.gather(*(post(client, people_jpeg, focal=50.0 + k) for k in range(150)))

        refused = [response for response in responses if response.status_code != 200]
        assert refused and {problem_of(response) for response in refused} == {"overloaded"}
        assert {response.status_code for response in refused} == {503}
        served = [k for k, response in enumerate(responses) if response.status_code == 200]
        assert len(served) >= 64 and all(is_right(responses[k], 50.0 + k) for k in served)
        assert (await client.get("/v1/health/ready")).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        pytest.param('outputs["scores"][:] = np.nan', id="scores are not numbers"),
        pytest.param('outputs["rotations"][:] = np.inf', id="rotations are infinite"),
        pytest.param('outputs["translation"][..., 2] = -1', id="people behind the camera"),
        pytest.param('outputs["scores"] = outputs["scores"][:, :2]', id="a query too few"),
        pytest.param('outputs["betas"] = outputs["betas"].astype(np.float64)', id="another dtype"),
        pytest.param('raise RuntimeError("secret path /models")', id="the network fails"),
    ],
)
async def test_an_answer_that_is_nonsense_is_our_fault_and_is_not_passed_on(
    own_triton, service_over, people_jpeg, change
):
    server = own_triton(ODD.format(change=change))
    async with service_over(server) as (client, core):
        response = await post(client, people_jpeg)

        assert (response.status_code, problem_of(response)) in ((502, "engine-bad-output"), (502, "engine-failed"))
        assert "secret" not in response.text
        counted = f'depthhmr_engine_failures_total{{reason="{problem_of(response)}"}} 1.0'
        assert counted in core.metrics.text().decode()


async def test_one_bad_image_in_a_batch_does_not_fail_its_neighbours(own_triton, service_over, people_jpeg, empty_jpeg):
    poison = 'if (feed["image"][:, 8, 16].max(axis=1) < 50).any(): raise RuntimeError("poison")'
    server = own_triton(ODD.format(change=poison))
    async with service_over(server) as (client, _):
        photos = [empty_jpeg if k % 8 == 3 else people_jpeg for k in range(32)]

        responses = await asyncio.gather(*(post(client, photo) for photo in photos))

        for k, response in enumerate(responses):
            assert problem_of(response) == "engine-failed" if k % 8 == 3 else is_right(response)


async def test_a_model_that_is_unloaded_is_not_ready_until_it_is_loaded_again(own_triton, service_over, people_jpeg):
    server = own_triton()
    async with service_over(server) as (client, _), control(server) as operator:
        await operator.unload_model("tiny")
        await until_ready_is(client, 503)
        assert problem_of(await post(client, people_jpeg)) == "engine-unavailable"

        await operator.load_model("tiny")
        assert await until_serving(client, people_jpeg, seconds=BACK_WITHIN_S) < BACK_WITHIN_S


async def test_a_new_version_under_load_costs_nobody_anything(own_triton, service_over, people_jpeg, tiny_folder):
    server = own_triton()
    async with service_over(server) as (client, _), control(server) as operator:
        load = asyncio.create_task(keep_asking(client, people_jpeg))
        await asyncio.sleep(0.3)

        shutil.copytree(tiny_folder / "1", tiny_folder / "2")
        await operator.load_model("tiny")
        await asyncio.sleep(0.5)
        load.cancel()
        answers = await load

        assert len(answers) > 20 and set(answers) == {"right"}
        (stats,) = (await operator.get_inference_statistics("tiny")).model_stats
        assert stats.version == "2" and stats.inference_count > 0


async def test_another_network_under_the_same_name_is_refused(own_triton, service_over, people_jpeg, tiny_folder):
    server = own_triton()
    async with service_over(server) as (client, _), control(server) as operator:
        shutil.copytree(tiny_folder / "1", tiny_folder / "2")
        config = tiny_folder / "configs" / "pybe.pbtxt"
        text = config.read_text()
        at = text.index('string_value: "') + len('string_value: "')
        config.write_text(text[:at] + "0" * 64 + text[at + 64 :])
        await operator.load_model("tiny")

        response = await post(client, people_jpeg)
        assert (response.status_code, problem_of(response)) == (503, "engine-mismatch")
        assert "sha256 is 000000000000..., expected" in response.json()["detail"]
        assert (await client.get("/v1/health/ready")).status_code == 503


async def test_a_server_that_is_not_there_yet_is_waited_for(own_triton, tiny_folder, people_jpeg):
    with LocalTriton(tiny_folder) as server:
        manifest = Manifest.read(tiny_folder)
        engine = TritonEngine(server.url, manifest, probe_s=0.25)
        with pytest.raises(EngineUnavailable):
            await engine.infer(blank_inputs(manifest), Call.within(5, ("scores",)))
        assert not engine.ready

        await in_thread(server.start)
        end = time.monotonic() + BACK_WITHIN_S
        while not engine.ready:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
        await engine.aclose()


async def test_a_lost_connection_is_tried_once_more(own_triton, core_over, people_jpeg):
    server = own_triton(SLOW.format(seconds=0.3))
    async with wire(server) as (server_behind_wire, cut), core_over(server_behind_wire) as core:
        flying = asyncio.create_task(core.recover(people_jpeg, Options(), lambda found: found.people))
        await asyncio.sleep(0.15)
        cut()

        assert len(await flying) == 2
        assert core.engine.stats.retries >= 1
        assert "depthhmr_engine_retries_total" in core.metrics.text().decode()


async def test_work_that_nobody_waits_for_is_cancelled_in_the_server(own_triton, core_over, people_jpeg):
    server = own_triton(SLOW.format(seconds=0.5))
    async with core_over(server, triton_concurrency=64) as core, control(server) as operator:
        before = (await operator.get_inference_statistics("tiny")).model_stats[0]
        tasks = [asyncio.create_task(core.recover(people_jpeg, Options(), lambda found: found)) for _ in range(48)]
        await asyncio.sleep(0.3)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(2.5)  # the batches that were under way, and the server's books

        after = (await operator.get_inference_statistics("tiny")).model_stats[0]
        assert await in_thread(cancelled_in, server) >= 24
        assert after.inference_count - before.inference_count < 40  # probes are among them


async def test_people_who_wait_go_before_those_who_do_not(own_triton, core_over, people_jpeg, tmp_path):
    """By the server's own order: when one more comes, each instance holds a batch and the rest of forty wait; no other batch
    goes before it but those that the server has made up already, which are one an instance at most.
    """
    log, gate = tmp_path / "log", tmp_path / "gate"
    server = own_triton(GATED.format(log=str(log), gate=str(gate)))
    async with core_over(server, triton_concurrency=64, triton_probe_s=60.0) as core:  # a probe would count as one more

        async def ask(focal: float, bulk: bool) -> None:
            options = Options(bulk=bulk, intrinsics=Intrinsics(focal, focal, 48, 32))
            await core.recover(people_jpeg, options, lambda found: found)

        async def in_the_server(count: int) -> None:
            async with asyncio.timeout(20):
                while True:
                    begun = batches(log)
                    if len(begun) == INSTANCES and sum(map(len, begun)) + await in_thread(pending_in, server) == count:
                        return
                    await asyncio.sleep(0.02)

        gate.touch()
        log.write_text("")
        bulk = [asyncio.create_task(ask(60.0, bulk=True)) for _ in range(40)]
        await in_the_server(40)
        interactive = asyncio.create_task(ask(90.0, bulk=False))
        await in_the_server(41)
        # Counted is not yet in the queue: once the gate opened between the two, and three batches more went before it.
        await asyncio.sleep(0.5)
        gate.unlink()
        await asyncio.gather(interactive, *bulk)

        served = batches(log)
        place = next(k for k, batch in enumerate(served) if "30" in batch)
        assert place <= 2 * INSTANCES < len(served) - 1, f"it waited behind those that came before it: {served}"


def batches(log: Path) -> list[list[str]]:
    """The focal lengths, in the network's pixels, of what the network was given, run by run."""
    return [line.split() for line in log.read_text().splitlines()]


def pending_in(server: LocalTriton) -> int:
    """Requests that wait in the server, by its own count."""
    return counted_by(server, "nv_inference_pending_request_count", 'model="tiny",version="1"')


def cancelled_in(server: LocalTriton) -> int:
    """Requests that the server dropped because they were cancelled, by its own count."""
    return counted_by(server, "nv_inference_request_failure", 'model="tiny",reason="CANCELED",version="1"')


def counted_by(server: LocalTriton, metric: str, labels: str) -> int:
    text = opener.open(server.metrics_url, timeout=5).read().decode()
    (count,) = re.findall(rf"^{re.escape(f'{metric}{{{labels}}}')} (\d+)", text, re.M)
    return int(count)


@asynccontextmanager
async def control(server: LocalTriton):
    """Triton's own interface, as an operator has it."""
    client = triton.InferenceServerClient(server.url)
    try:
        yield client
    finally:
        await client.close()


async def keep_asking(client, photo: bytes) -> list[str]:
    """What eight clients got, one image after another, until this is cancelled."""
    answers: list[str] = []

    async def one(number: int) -> None:
        focal = 60.0 + 10 * number
        while True:
            response = await post(client, photo, focal=focal)
            right = response.status_code == 200 and is_right(response, focal)
            answers.append("right" if right else f"{response.status_code} {response.text}")

    workers = [asyncio.create_task(one(number)) for number in range(8)]
    try:
        await asyncio.gather(*workers)
    except asyncio.CancelledError:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return answers


@asynccontextmanager
async def wire(server: LocalTriton):
    """A piece of network in front of a server, and a way to cut all connections that lead through it."""
    writers: set[asyncio.StreamWriter] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", server.grpc_port)
        writers.update((writer, there_writer))
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

    def cut() -> None:
        for writer in writers:
            writer.transport.abort()
        writers.clear()

    class Behind:
        pass

    listener = await asyncio.start_server(connect, "127.0.0.1", 0)
    behind = Behind()
    behind.url = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield behind, cut
    finally:
        cut()
        listener.close()


def test_a_folder_of_another_name_is_refused(model_dir, tmp_path):
    shutil.copytree(model_dir, tmp_path / "other")

    write_triton_files(Manifest.read(tmp_path / "other"), tmp_path / "other")

    with pytest.raises(UserError, match="wants the folder to bear the model's name 'tiny', it is 'other'"):
        LocalTriton(tmp_path / "other")


@pytest.mark.parametrize("crashes", [2, 3])
def test_a_server_that_crashes_as_it_starts_is_started_again(tiny_folder, monkeypatch, crashes):
    """By the fault of its Python backend that is known; the third time it is told."""
    command, left = LocalTriton._command, [("sh", "-c", f"echo {CRASH.decode()}; kill -ABRT $$")] * crashes
    monkeypatch.setattr(LocalTriton, "_command", lambda self: left.pop() if left else command(self))
    with LocalTriton(tiny_folder) as server:
        if crashes < STARTS:
            assert server.start().ready()
        else:
            with pytest.raises(UserError, match="did not become ready; its log ends with\n.*lock_exception"):
                server.start()
        assert not left


def test_a_server_that_ends_for_another_reason_is_not_started_again(tiny_folder, monkeypatch):
    starts = []
    monkeypatch.setattr(LocalTriton, "_command", lambda self: starts.append(1) or ("sh", "-c", "echo no room; exit 3"))
    with LocalTriton(tiny_folder) as server, pytest.raises(UserError, match="no room"):
        server.start()
    assert starts == [1]
