"""Distributed training: the context of each process, its device, and what the processes exchange.

A launcher such as torchrun starts the processes on one machine or several and sets RANK, WORLD_SIZE, LOCAL_RANK, GROUP_RANK,
MASTER_ADDR and MASTER_PORT. Without a launcher, `train` starts its own workers on this machine.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from bodykit.errors import UserError

TIMEOUT = timedelta(
    hours=2
)  # of a collective operation: the other ranks wait while rank 0 trains the lifter or validates


@dataclass(frozen=True, kw_only=True)
class DistributedContext:
    """The place of this process among the `world_size` processes that train one network."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0  # on its machine
    node_rank: int = 0
    nodes: int = 1
    init_method: str = "env://"  # of torch.distributed: where the processes find each other


SINGLE_PROCESS = DistributedContext()


def context_from(environ: Mapping[str, str]) -> DistributedContext:
    """The context that a launcher has set; SINGLE_PROCESS without a launcher. UserError for an incomplete one."""
    if "WORLD_SIZE" not in environ:
        return SINGLE_PROCESS
    rank, world_size, local_rank = (_number(environ, name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if not 0 <= rank < world_size:
        raise UserError(f"expected RANK below WORLD_SIZE {world_size}, got {rank}")
    per_node = _number(environ, "LOCAL_WORLD_SIZE", world_size)
    return DistributedContext(
        rank=rank,
        world_size=world_size,
        local_rank=local_rank,
        node_rank=_number(environ, "GROUP_RANK", 0),
        nodes=-(-world_size // per_node),
    )


def _number(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environ.get(name, "" if default is None else str(default))
    if not text.isdecimal():
        raise UserError(f"expected a number in {name}, as torchrun sets it beside WORLD_SIZE, got {text!r}")
    return int(text)


def device_of(context: DistributedContext, kind: str) -> torch.device:
    """The device of this process: "cpu", "cuda" (one GPU per local rank), or "auto" (a GPU if the machine has one)."""
    if kind == "cpu" or (kind == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError("expected a GPU that PyTorch can use, found none; train with --device cpu")
    local_rank, gpus = context.local_rank, torch.cuda.device_count()
    if local_rank >= gpus:
        raise UserError(f"expected a GPU for each process, process {local_rank} of this machine finds {gpus}")
    return torch.device("cuda", local_rank)


@contextmanager
def process_group(context: DistributedContext, device: torch.device) -> Iterator[None]:
    """Opens the process group: gloo for tensors on the CPU, NCCL for those on GPUs. Does nothing for a single process."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if context.world_size == 1:
        yield
        return
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        init_method=context.init_method,
        rank=context.rank,
        world_size=context.world_size,
        timeout=TIMEOUT,
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def barrier(context: DistributedContext) -> None:
    """Waits until every process has called it."""
    if context.world_size > 1:
        dist.all_reduce(torch.zeros(1))


def average_gradients(context: DistributedContext, parameters: Sequence[nn.Parameter]) -> None:
    """Replaces every gradient by its mean over all processes, in one message."""
    if context.world_size == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([p.grad.flatten() for p in parameters])
    dist.all_reduce(flat)
    flat /= context.world_size
    offset = 0
    for parameter in parameters:
        count = parameter.numel()
        parameter.grad.copy_(flat[offset : offset + count].view_as(parameter))
        offset += count


def check_replicas(context: DistributedContext, step: int, weights: Iterable[Tensor]) -> None:
    """RuntimeError unless all processes are at the same step and have the same weights, to the bit."""
    if context.world_size == 1:
        return
    mine = torch.tensor([step, *(_fingerprint(weight) for weight in weights)])
    lowest, highest = mine.clone(), mine.clone()
    dist.all_reduce(lowest, dist.ReduceOp.MIN)
    dist.all_reduce(highest, dist.ReduceOp.MAX)
    if not torch.equal(lowest, highest):
        raise RuntimeError(
            f"expected all {context.world_size} processes at the same step with the same weights, they differ "
            f"(steps {int(lowest[0])} to {int(highest[0])}): do all of them see the same run folder?"
        )


def _fingerprint(weight: Tensor) -> int:
    """Sum of the bit patterns of float32 numbers: independent of their order, sensitive to every bit."""
    return int(weight.detach().contiguous().view(torch.int32).sum(dtype=torch.int64))
