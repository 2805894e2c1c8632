"""A real Triton server that is killed over and over under load: every client is answered, and rightly or with a refusal."""

import asyncio

import pytest

from depthhmr_cli.running import running_service
from fuzz.checked_clients import CheckedClients, Ports, table

pytestmark = [pytest.mark.anyio, pytest.mark.triton, pytest.mark.slow]


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.long)])
async def test_a_server_killed_over_and_over_costs_no_client_its_answer(
    own_triton, tiny_folder, people_jpeg, empty_jpeg, kills, capsys
):
    server = own_triton()
    arguments = ("--engine", "triton", "--triton-url", server.url, "--model-dir", str(tiny_folder))
    with running_service(*arguments, "--log-level", "error") as service:
        ports = Ports(service.port, service.grpc_port)
        clients = CheckedClients(lambda: ports, people_jpeg, empty_jpeg)
        for _ in range(kills):
            await clients.wait_for_correct(20)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        await clients.wait_for_correct(20)
        outcomes = await clients.stop()

    with capsys.disabled():
        print(f"\n{kills} kills of Triton\n{table(outcomes)}")
    # The service itself was never away, so nobody was cut off.
    assert clients.faults == {}
    assert set(outcomes) <= {"correct", "refused: engine-unavailable", "refused: unavailable"}
