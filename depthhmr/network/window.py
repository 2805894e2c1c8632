"""Metric windows: a map cut out around a 3D query, as wide in metres at the query's depth as is asked for.

The query's depth sets the scale, its projection the place: near and far people reach the next layers equally large.
The cut is two matrix products with hat-shaped kernels (one along rows, one along columns): differentiable, antialiased
when the window is coarser than the map, and free of grid_sample, which TensorRT 10.14 and 11.1 compute wrongly.
"""

import torch
from torch import Tensor, nn

from depthhmr.network.geometry import focal
from depthhmr.network.queries import Queries


class MetricWindow(nn.Module):
    """Cuts windows of `cells` x `cells`, `extent` metres wide, out of maps that cover the whole S x S input.

    Their centres lie `drop` metres below the queries.
    """

    def __init__(self, size: int, cells: int, extent: float, drop: float = 0.0) -> None:
        super().__init__()
        self.size, self.cells = size, cells
        along = (torch.arange(cells) + 0.5 - cells / 2) * (extent / cells)
        self.cell_metres = extent / cells
        self.register_buffer("x_metres", along, persistent=False)
        self.register_buffer("y_metres", along + drop, persistent=False)

    def kernels(self, queries: Queries, intrinsics: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """Row and column kernels for a side x side map: [B, K, n, side] each. intrinsics [B, 4]."""
        stride = self.size / side
        pixels_per_metre = focal(intrinsics)[:, None] * torch.exp(-queries.log_depth)  # [B, K]
        radius = (pixels_per_metre * self.cell_metres).clamp(min=stride)[..., None, None]
        centres = (torch.arange(side, device=intrinsics.device) + 0.5) * stride

        def along(origin: Tensor, metres: Tensor) -> Tensor:
            positions = origin[..., None] + metres * pixels_per_metre[..., None]  # [B, K, n]
            hat = (1 - (positions[..., None] - centres).abs() / radius).clamp(min=0)
            mean = hat / hat.sum(-1, keepdim=True).clamp(min=1e-3)
            border = torch.minimum(positions, self.size - positions)[..., None] / radius
            return mean * (border + 0.5).clamp(0, 1)  # sums to one inside the picture, fades to zero beyond its border

        return along(queries.uv[..., 1], self.y_metres), along(queries.uv[..., 0], self.x_metres)

    def coverage(self, rows: Tensor, columns: Tensor) -> Tensor:
        """How far each cell lies inside the picture, 0 to 1. Kernels -> [B*K, 1, n, n]."""
        return rows.flatten(0, 1).sum(-1)[:, None, :, None] * columns.flatten(0, 1).sum(-1)[:, None, None, :]

    def cut(self, feature_map: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """feature_map [B, C, H, W], rows [B, K, n, H], columns [B, K, n, W] -> windows [B*K, C, n, n]."""
        batch, count, cells, height = rows.shape
        channels, width = feature_map.shape[1], feature_map.shape[3]
        by_row = feature_map.permute(0, 2, 1, 3).reshape(batch, height, channels * width)
        part = rows.reshape(batch, count * cells, height) @ by_row  # [B, K*n, C*W]
        part = part.reshape(batch, count, cells * channels, width) @ columns.transpose(-1, -2)
        return part.reshape(batch * count, cells, channels, cells).transpose(1, 2)
