"""Ten thousand hostile requests to one real process; a few hundred by default."""

import httpx
import pytest

from depthhmr_cli.running import running_service
from fuzz.checked_clients import Ports
from fuzz.hostile_load import HostileLoad

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore"), pytest.mark.slow]

# The allocators' caches fill during the first requests; a leak of 4 kB in each of ten thousand would be 40 MB.
MAY_GROW_MB = 25.0


@pytest.mark.parametrize("count", [630, pytest.param(10_008, marks=pytest.mark.long)])
async def test_hostile_requests_cause_no_fault_and_no_restart(model_dir, people_jpeg, count, capsys):
    arguments = ("--model-dir", str(model_dir), "--log-level", "error", "--request-timeout-s", "20")
    with running_service(*arguments) as service:
        load = HostileLoad(Ports(service.port, service.grpc_port), people_jpeg)
        address = f"http://127.0.0.1:{service.port}"
        headers = {"Content-Type": "image/jpeg"}
        # Load everything that is loaded at first use: the kernel compiler alone takes 170 MB.
        async with httpx.AsyncClient(base_url=address, timeout=60, trust_env=False) as client:
            for wanted in ("image/jpeg", "model/gltf-binary"):
                drawn = await client.post("/v1/reconstruct", content=people_jpeg, headers=headers | {"Accept": wanted})
                assert drawn.status_code == 200
        await load.run(count // 9)
        memory = [await load.memory_at_rest_mb(service.pid)]
        for _ in range(8):
            await load.run(count // 9)
            memory.append(await load.memory_at_rest_mb(service.pid))
        async with httpx.AsyncClient(base_url=address, timeout=60, trust_env=False) as client:
            reply = await client.post("/v1/reconstruct", content=people_jpeg, headers=headers)
        counted = await load.counted_faults()

    with capsys.disabled():
        print(f"\n{load.table()}\n  memory, MB: " + " ".join(f"{size:.0f}" for size in memory))
    assert load.faults == {} and counted == {}
    assert reply.status_code == 200 and len(reply.json()["people"]) == 2  # by the same process
    assert min(memory[-4:]) - min(memory[:4]) < MAY_GROW_MB  # the least of four: a large picture may still be decoded
