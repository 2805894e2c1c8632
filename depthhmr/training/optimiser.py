"""AdamW over the parts of a network that learn at different rates."""

import re

import torch
from torch import nn

from depthhmr.network.config import TrainConfig
from depthhmr.network.model import DepthHMR

TABLES = ("cls_token", "pos_embed", "register_tokens")  # of the vision transformer: not decayed, like biases and norms


class Optimiser:
    """AdamW, and beside every group of parameters its share of the learning rate.

    The last block of a vision transformer learns at `backbone_rate` of the rate, each block nearer to the image at
    `layer_decay` of the one behind it (BEiT, Bao et al. 2022, sec. 3.1); everything else learns at the rate itself.
    Shares follow from the configuration and are not kept in checkpoints. Lifter and frozen backbones are not trained.
    """

    def __init__(self, model: DepthHMR, config: TrainConfig) -> None:
        blocks = len(model.backbone.vit.blocks) if hasattr(model.backbone, "vit") else 0
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if name.startswith("lifter.") or not parameter.requires_grad:
                continue
            whole = parameter.ndim <= 1 or name.rpartition(".")[2] in TABLES
            key = rate_share(name, blocks, config), 0.0 if whole else config.weight_decay
            groups.setdefault(key, []).append(parameter)
        ordered = sorted(groups, reverse=True)  # the order of checkpoints: decayed first
        self._shares = [share for share, _ in ordered]
        self.parameters = [parameter for key in ordered for parameter in groups[key]]
        self.adam = torch.optim.AdamW(
            [{"params": groups[key], "weight_decay": key[1]} for key in ordered],
            lr=config.learning_rate, betas=(0.9, 0.98), fused=True,
        )  # fmt: skip

    def set_rate(self, rate: float) -> None:
        for group, share in zip(self.adam.param_groups, self._shares, strict=True):
            group["lr"] = rate * share


def rate_share(name: str, blocks: int, config: TrainConfig) -> float:
    """The share of the learning rate for a parameter of a network whose transformer has so many blocks."""
    if not name.startswith("backbone.vit."):
        return 1.0
    block = re.match(r"backbone\.vit\.blocks\.(\d+)\.", name)
    behind = blocks - 1 - int(block[1]) if block else blocks  # what stands before the first block is one further away
    return config.backbone_rate * config.layer_decay**behind
