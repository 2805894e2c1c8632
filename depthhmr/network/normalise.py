"""Pixels to the network's input."""

import torch
from torch import Tensor

# ImageNet statistics: what DINOv2 was trained with; the small backbone does not mind
MEAN = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)


def normalise(image: Tensor) -> Tensor:
    """float [B, 3, S, S] in 0..255 -> the network's input."""
    return (image - MEAN.to(image.device)) / STD.to(image.device)
