"""What every training loop here needs: a schedule, an average of the weights, a log, checkpoints that survive a kill."""

import copy
import json
import math
import resource
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn


def learning_rate(progress: float, step: int, *, peak: float, warmup: int, decay_from: float) -> float:
    """Linear warm-up, a plateau, and from `decay_from` of the schedule a cosine down to a fiftieth of the peak."""
    rate = peak * min(1.0, (step + 1) / warmup)
    if progress <= decay_from:
        return rate
    along = min(1.0, (progress - decay_from) / max(1e-9, 1 - decay_from))
    return rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * along)))


class WeightAverage:
    """Exponential moving average of a network, its batch-norm statistics included. `network` is the average itself."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        decay = min(self.decay, (step + 1) / (step + 20))
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            if mine.dtype.is_floating_point:
                mine.lerp_(theirs, 1 - decay)


class Log:
    """One JSON object per line; a cut run goes on appending, and lines after its last checkpoint are dropped.

    `count` is the key that says how far a line was, `resume_at` how far the checkpoint is.
    """

    def __init__(self, path: Path, *, resume_at: int, count: str = "images") -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.exists() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line).get(count, 0) <= resume_at]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(line + "\n" for line in kept))

    def write(self, **values: Any) -> None:
        rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in values.items()}
        with self.path.open("a") as file:
            file.write(json.dumps(rounded) + "\n")


def peak_memory_mb(device: torch.device) -> float:
    """The most memory that this process has held so far: of the GPU it uses, else of the machine."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # Linux counts in kilobytes


class Means:
    """Means of named figures since they were last taken."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self.count = 0

    def add(self, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self.count += 1

    def take(self) -> dict[str, float]:
        means = {name: value / self.count for name, value in self._sums.items()}
        self._sums, self.count = {}, 0
        return means


class Stopwatch:
    """Seconds of wall clock and of this process's CPU, carried over from a resumed run."""

    def __init__(self, wall: float = 0.0, cpu: float = 0.0) -> None:
        self._wall, self._cpu = time.monotonic() - wall, time.process_time() - cpu

    @property
    def wall(self) -> float:
        return time.monotonic() - self._wall

    @property
    def cpu(self) -> float:
        return time.process_time() - self._cpu
