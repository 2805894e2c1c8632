"""Several processes train one network: started by torchrun, or by the command itself."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bodykit.errors import UserError
from depthhmr.data.shards import render_shard
from depthhmr.network.config import TrainConfig, preset
from depthhmr.network.movenet import MoveNetPyramid
from depthhmr.training.distributed import SINGLE_PROCESS, DistributedContext, context_from, device_of
from depthhmr.training.train import Run, train
from depthhmr.training.train_lifter import train_lifter
from depthhmr_cli.main import main

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[3]
SIZE = 64
TIMEOUT_S = 900  # two processes that each import PyTorch, on a machine that may be very busy


def test_the_context_is_read_from_the_launchers_variables() -> None:
    assert context_from({}) == SINGLE_PROCESS
    torchrun = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "GROUP_RANK": "1"}
    assert context_from(torchrun) == DistributedContext(rank=5, world_size=8, local_rank=1, node_rank=1, nodes=2)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "expected a number in RANK, .* got ''"),
        ({"WORLD_SIZE": "2", "RANK": "1"}, "expected a number in LOCAL_RANK"),
        ({"WORLD_SIZE": "two", "RANK": "0", "LOCAL_RANK": "0"}, "expected a number in WORLD_SIZE, .* got 'two'"),
        ({"WORLD_SIZE": "2", "RANK": "2", "LOCAL_RANK": "0"}, "expected RANK below WORLD_SIZE 2, got 2"),
    ],
)
def test_an_incomplete_launcher_environment_is_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        context_from(environ)


def test_each_process_of_a_machine_has_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert device_of(DistributedContext(rank=5, world_size=8, local_rank=1), "auto") == torch.device("cuda", 1)
    assert device_of(DistributedContext(rank=5, world_size=8, local_rank=1), "cpu") == torch.device("cpu")
    with pytest.raises(UserError, match="a GPU for each process, process 2 of this machine finds 2"):
        device_of(DistributedContext(rank=2, world_size=3, local_rank=2), "auto")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder with samples and a lifter: what is left is to train."""
    monkeypatch.setattr("depthhmr.training.train_lifter.POOL", 600)
    folder = tmp_path / "run"
    render_shard(folder / "shards", 0, 16, SIZE)
    train_lifter(preset("tiny", size=SIZE), folder / "lifter.pt", steps=1)
    np.savez(folder / "movenet.npz", **{name: value.numpy() for name, value in MoveNetPyramid().state_dict().items()})
    return folder


def command(run: Path, *extra: str) -> list[str]:
    options = ["train", "--preset", "tiny", "--size", str(SIZE), "--run", str(run), "--device", "cpu", "--batch", "2"]
    options += ["--lifter-steps", "1", "--renderers", "0", "--shards", "1", "--validate-on", "1", "--images", "8"]
    options += ["--backbone-weights", str(run / "movenet.npz")]
    return [*options, *extra]


def finish(arguments: list[str]) -> tuple[int, str]:
    """Exit status and output; whatever is still running after TIMEOUT_S is killed, children and all."""
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], cwd=REPOSITORY, env=environ, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, output


# As docs/training.md has it, with ports that nobody else has. The -- keeps torchrun from reading our --run as its --run-path.
TORCHRUN = ["torch.distributed.run", "--nproc-per-node", "2"]
TORCHRUN += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"]


def test_torchrun_and_our_own_workers_train_the_same_network(run: Path) -> None:
    """Two ranks agree (they would end with an error if their weights differed) and the launcher makes no difference."""
    status, output = finish([*TORCHRUN, "-m", "--", "depthhmr_cli", *command(run)])
    assert status == 0, output
    by_torchrun = torch.load(run / "checkpoint.pt", weights_only=True)
    assert (by_torchrun["step"], by_torchrun["images"]) == (2, 8)
    assert len((run / "log.jsonl").read_text().splitlines()) == 2  # one process writes

    for name in ("checkpoint.pt", "log.jsonl", "run.json"):
        (run / name).unlink()
    assert main(command(run, "--workers", "2")) == 0
    by_ours = torch.load(run / "checkpoint.pt", weights_only=True)
    assert all(torch.equal(by_ours["training"][name], value) for name, value in by_torchrun["training"].items())


APART = """
import os, torch
from depthhmr.training.distributed import average_gradients, barrier, check_replicas, context_from, process_group
context = context_from(os.environ)
with process_group(context, torch.device("cpu")):
    barrier(context)
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.full((3,), float(context.rank))
    average_gradients(context, [weight])
    assert weight.grad.tolist() == [0.5] * 3
    check_replicas(context, 7, [weight])
    for step, ulps in ((7, context.rank), (7 + context.rank, 0)):
        apart = (torch.ones(3).view(torch.int32) + ulps).view(torch.float32)
        try:
            check_replicas(context, step, [apart])
        except RuntimeError as error:
            os.write(1, f"{context.rank} {error}\\n".encode())  # in one piece: two processes share the pipe
"""


def test_processes_that_differ_in_one_bit_or_one_step_stop(tmp_path: Path) -> None:
    """As on machines that do not share the run folder, where the second finds no checkpoint."""
    (tmp_path / "apart.py").write_text(APART)
    status, output = finish([*TORCHRUN, str(tmp_path / "apart.py")])
    assert status == 0, output
    for rank in (0, 1):
        same_step = (
            f"{rank} expected all 2 processes at the same step with the same weights, they differ (steps 7 to 7)"
        )
        assert same_step in output and same_step.replace("to 7", "to 8") in output


def test_a_launcher_and_own_workers_exclude_each_other(run: Path) -> None:
    network = preset("tiny", size=SIZE)
    plan = Run(folder=run, model=network, train=TrainConfig(), workers=2, renderers=0, device="cpu")
    with pytest.raises(UserError, match="a launcher has started 4 processes already, expected --workers 1, got 2"):
        train(plan, DistributedContext(rank=1, world_size=4))
