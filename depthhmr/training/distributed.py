"""The processes that train one network together: who they are, how they meet, and what they tell each other.

A launcher such as torchrun starts them on one machine or several and says so in RANK, WORLD_SIZE, LOCAL_RANK, GROUP_RANK,
MASTER_ADDR and MASTER_PORT. Without one, `train` starts them itself on this machine.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from bodykit.errors import UserError

PATIENCE = timedelta(hours=2)  # the others wait while the first trains the lifter or validates


@dataclass(frozen=True, kw_only=True)
class Team:
    """`size` processes, of which this is number `rank`; number `local_rank` of its machine, which is number `node`."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    node: int = 0
    nodes: int = 1
    meeting: str = "env://"  # where they find each other


ALONE = Team()


def launched(environ: Mapping[str, str]) -> Team:
    """The team that a launcher put this process into; ALONE without a launcher."""
    if "WORLD_SIZE" not in environ:
        return ALONE
    rank, size, local_rank = (_number(environ, name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if not 0 <= rank < size:
        raise UserError(f"expected RANK below WORLD_SIZE {size}, got {rank}")
    per_node = _number(environ, "LOCAL_WORLD_SIZE", size)
    return Team(
        rank=rank, size=size, local_rank=local_rank, node=_number(environ, "GROUP_RANK", 0), nodes=-(-size // per_node)
    )


def _number(environ: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environ.get(name, "" if default is None else str(default))
    if not text.isdecimal():
        raise UserError(f"expected a number in {name}, as torchrun sets it beside WORLD_SIZE, got {text!r}")
    return int(text)


def device_of(team: Team, kind: str) -> torch.device:
    """The device of this process: "cpu", "cuda" (its own GPU of the machine's) or "auto" (a GPU where there is one)."""
    if kind == "cpu" or (kind == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError("expected a GPU that PyTorch can use, found none; train with --device cpu")
    if team.local_rank >= torch.cuda.device_count():
        raise UserError(
            f"expected a GPU for each process, process {team.local_rank} of this machine finds {torch.cuda.device_count()}"
        )
    return torch.device("cuda", team.local_rank)


@contextmanager
def joined(team: Team, device: torch.device) -> Iterator[None]:
    """Within it the processes of a team can talk: gloo between processors, NCCL between GPUs."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if team.size == 1:
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=team.meeting, rank=team.rank, world_size=team.size, timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def meet(team: Team) -> None:
    """Go on when everybody has come here."""
    if team.size > 1:
        dist.all_reduce(torch.zeros(1))


def mean_gradients(team: Team, parameters: Sequence[nn.Parameter]) -> None:
    """Every gradient becomes its mean over the team, in one message."""
    if team.size == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([p.grad.flatten() for p in parameters])
    dist.all_reduce(flat)
    flat /= team.size
    offset = 0
    for parameter in parameters:
        count = parameter.numel()
        parameter.grad.copy_(flat[offset : offset + count].view_as(parameter))
        offset += count


def refuse_differences(team: Team, step: int, weights: Iterable[Tensor]) -> None:
    """RuntimeError unless the whole team has done as many steps and has the same weights, to the bit."""
    if team.size == 1:
        return
    mine = torch.tensor([step, *(_fingerprint(weight) for weight in weights)])
    lowest, highest = mine.clone(), mine.clone()
    dist.all_reduce(lowest, dist.ReduceOp.MIN)
    dist.all_reduce(highest, dist.ReduceOp.MAX)
    if not torch.equal(lowest, highest):
        raise RuntimeError(
            f"expected all {team.size} processes at the same step with the same weights, they differ "
            f"(steps {int(lowest[0])} to {int(highest[0])}): do all of them see the same run folder?"
        )


def _fingerprint(weight: Tensor) -> int:
    """A sum of the bits of float32 numbers: order does not matter to it, every bit does."""
    return int(weight.detach().contiguous().view(torch.int32).sum(dtype=torch.int64))
