"""The state of a training run, as checkpoints hold it: weights, their average, the optimiser's state and the progress."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bodykit.body import Body
from bodykit.errors import UserError
from depthhmr.body_id import id_of, refuse_other_body
from depthhmr.network.checkpoints import load, save
from depthhmr.network.config import ModelConfig, TrainConfig
from depthhmr.network.dinov2 import load_dinov2
from depthhmr.network.model import build_model
from depthhmr.network.movenet_weights import load_movenet
from depthhmr.network.skinning import BodyLayer
from depthhmr.training.distributed import DistributedContext, average_gradients
from depthhmr.training.loop import Stopwatch, WeightAverage
from depthhmr.training.optimiser import Optimiser

START = ("training", "images")  # what a checkpoint must hold for another run to start from it


class TrainingState:
    """A new network, or that of a checkpoint, on a device."""

    def __init__(
        self, network: ModelConfig, config: TrainConfig, device: torch.device, body: Body | None = None
    ) -> None:
        torch.manual_seed(config.seed * 1000)  # the same weights in every process
        self.network, self.config = network, config
        self.model = build_model(network, BodyLayer(body)).to(device, memory_format=torch.channels_last)
        self.model.body.to(device)
        self.model.lifter.requires_grad_(False)
        self.optimiser = Optimiser(self.model, config)
        self.average = WeightAverage(self.model, config.ema)
        self.step, self.images, self.watch = 0, 0, Stopwatch()
        self.images_before = 0  # of the run whose weights this one started from

    def resume(self, checkpoint: Path) -> None:
        """Continues exactly where `save` was called."""
        state = load(checkpoint, "training", "model", "optimiser", "step", "images", "wall", "cpu")
        refuse_other_body(checkpoint, state.get("body"), self.model.body)
        self.model.load_state_dict(state["training"])
        self.average.network.load_state_dict(state["model"])
        self.optimiser.adam.load_state_dict(state["optimiser"])
        self.step, self.images, self.images_before = state["step"], state["images"], state.get("images_before", 0)
        self.watch = Stopwatch(state["wall"], state["cpu"])

    def start_from(self, checkpoint: Path) -> None:
        """Copies the weights whose name and shape agree from another network; all others keep their initial values."""
        state = load(checkpoint, *START)
        refuse_other_body(checkpoint, state.get("body"), self.model.body)
        own = self.model.state_dict()
        fitting = {n: value for n, value in state["training"].items() if n in own and own[n].shape == value.shape}
        print(f"{len(fitting)} of {len(own)} tensors taken over", flush=True)
        self.model.load_state_dict(own | fitting)
        self._restart_average()
        self.images_before = state["images"] + state.get("images_before", 0)

    def load_backbone(self, weights: Path) -> None:
        """Starts from published weights of DINOv2 or MoveNet."""
        if self.network.backbone == "conv":
            raise UserError(
                f"expected a preset with a published backbone for {weights}, {self.network.name!r} has none"
            )
        if self.network.backbone == "movenet":
            load_movenet(self.model.backbone, weights)
        else:
            load_dinov2(self.model.backbone, self.network.backbone, weights)
        self._restart_average()

    def load_lifter(self, path: Path) -> None:
        state = load(path, "lifter")
        refuse_other_body(path, state.get("body"), self.model.body)
        for network in (self.model, self.average.network):
            network.lifter.load_state_dict(state["lifter"])

    def update(self, loss: Tensor, rate: float, context: DistributedContext) -> float:
        """One step on the mean gradients of all processes, skipped if they are not finite. -> norm before clipping."""
        self.optimiser.set_rate(rate)
        self.optimiser.adam.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(context, self.optimiser.parameters)
        norm = nn.utils.clip_grad_norm_(self.optimiser.parameters, self.config.clip)
        if torch.isfinite(norm):
            self.optimiser.adam.step()
        self.average.update(self.model, self.step)
        self.step += 1
        return norm.item()

    def save(self, path: Path) -> None:
        save(path, _on_cpu({
            "model": self.average.network.state_dict(), "training": self.model.state_dict(),
            "optimiser": self.optimiser.adam.state_dict(), "step": self.step, "images": self.images,
            "images_before": self.images_before, "wall": self.watch.wall, "cpu": self.watch.cpu, "preset": self.network.name,
            "config": dataclasses.asdict(self.network), "body": id_of(self.model.body),
        }))  # fmt: skip

    def clock(self) -> dict[str, float]:
        """Progress, for the log."""
        minutes = {"minutes": self.watch.wall / 60, "cpu_minutes": self.watch.cpu / 60}
        return {"step": self.step, "images": self.images, **minutes}

    def _restart_average(self) -> None:
        self.average = WeightAverage(self.model, self.config.ema)


def _on_cpu(value: Any) -> Any:
    """The same with all tensors on the CPU, where every machine can load them."""
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_on_cpu(item) for item in value)
    return value.cpu() if isinstance(value, Tensor) else value
