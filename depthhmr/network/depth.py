"""Non-uniform depth bins and the depth branch (paper, sec. 3.1; the head follows MonoDETR's pattern).

All bins live in canonical depth z_c = z * f_c / f, the depth at which a camera of 60 degrees would see the person as
large: then a crop or another focal length moves a person along the bins instead of contradicting them.
"""

import torch
from torch import Tensor, nn

from depthhmr.network.config import ModelConfig
from depthhmr.network.geometry import CANONICAL_FOCAL, focal
from depthhmr.network.layers import conv_block, upsample_to


def canonical_log_shift(intrinsics: Tensor, size: int) -> Tensor:
    """log(f_c / f): what is added to a log depth to make it canonical. intrinsics [..., 4] -> [...]."""
    return torch.log(CANONICAL_FOCAL * size / focal(intrinsics))


class DepthBins(nn.Module):
    """Linear-increasing discretisation (LID, CaDDN): narrow bins near the camera, wide ones far away.

    Edges e_i = d_min + delta i (i + 1) / 2 with delta = 2 (d_max - d_min) / (n (n + 1)). The centre of bin i is
    d_min + delta (i + 1)^2 / 2; the widely copied (i + 1/2)^2 delta / 2 - delta / 8 + d_min is the lower edge.
    Bins of spacing "uniform" are all (d_max - d_min) / n wide.
    """

    def __init__(self, count: int, minimum: float, maximum: float, spacing: str = "lid") -> None:
        super().__init__()
        self.count, self.minimum, self.maximum, self.spacing = count, minimum, maximum, spacing
        index = torch.arange(count, dtype=torch.float32)
        edges = torch.arange(count + 1, dtype=torch.float32)
        if spacing == "lid":
            self.delta = 2 * (maximum - minimum) / (count * (count + 1))
            centres, edges = minimum + self.delta * (index + 1) ** 2 / 2, minimum + self.delta * edges * (edges + 1) / 2
        else:
            self.delta = (maximum - minimum) / count
            centres, edges = minimum + self.delta * (index + 0.5), minimum + self.delta * edges
        self.register_buffer("centres", centres, persistent=False)
        self.register_buffer("edges", edges, persistent=False)

    def index(self, depth: Tensor) -> Tensor:
        """Bin of canonical depths; what lies outside goes to the first or last bin. [...] -> int64 [...]."""
        along = (depth.clamp(self.minimum, self.maximum) - self.minimum) / self.delta
        continuous = -0.5 + 0.5 * torch.sqrt(1 + 8 * along) if self.spacing == "lid" else along
        return continuous.floor().long().clamp(0, self.count - 1)

    def soft_target(self, depth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Two neighbouring bins and the weight of the second, so that the expectation is `depth`. -> lower, upper, weight."""
        inside = depth.clamp(self.centres[0].item(), self.centres[-1].item())
        upper = torch.bucketize(inside, self.centres).clamp(1, self.count - 1)
        low, high = self.centres[upper - 1], self.centres[upper]
        return upper - 1, upper, ((inside - low) / (high - low)).clamp(0, 1)


class DepthBranch(nn.Module):
    """Depth stream before its encoder: three scales averaged at the middle stride, then a distribution over bins.

    The last class is "no human here": DAH supervises human-only depth.
    """

    def __init__(self, config: ModelConfig, widths: tuple[int, ...]) -> None:
        super().__init__()
        fine, middle, coarse = widths
        width = config.map_dim
        self.bins = DepthBins(config.depth_bins, config.depth_min, config.depth_max, config.bin_spacing)
        self.from_fine = conv_block(fine, width, stride=2)
        self.from_middle = conv_block(middle, width, kernel=1)
        self.from_coarse = conv_block(coarse, width, kernel=1)
        self.refine = conv_block(width, width)
        self.classify = nn.Conv2d(width, config.depth_bins + 1, 1)

    def forward(self, pyramid: list[Tensor]) -> tuple[Tensor, Tensor]:
        """-> features [B, C, h, w] and logits [B, bins + 1, h, w] at the middle stride."""
        fine, middle, coarse = pyramid
        side = middle.shape[-1]
        mean = (self.from_fine(fine) + self.from_middle(middle) + upsample_to(self.from_coarse(coarse), side)) / 3
        features = self.refine(mean)
        return features, self.classify(features)

    def expectation(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """logits [B, bins + 1, h, w] -> probabilities of the same shape, expected log depth [B, h, w] (canonical, over the
        human bins alone), and the probability of a human [B, h, w]."""
        probabilities = logits.float().softmax(1)
        human = probabilities[:, :-1]
        mass = human.sum(1)
        log_depth = (human * self.bins.centres.log().view(1, -1, 1, 1)).sum(1) / mass.clamp(min=1e-6)
        return probabilities, log_depth, mass
