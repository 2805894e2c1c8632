"""Metric windows: what is cut is what lies there, at any distance."""

import torch

from depthhmr.network.config import preset
from depthhmr.network.queries import Queries
from depthhmr.network.window import MetricWindow

CONFIG = preset("tiny", size=128)
CAMERA = torch.tensor([[110.0, 110.0, 64.0, 64.0]])


def query(u: float, v: float, z: float) -> Queries:
    return Queries(torch.zeros(1, 1, CONFIG.dim), torch.tensor([[[u, v]]]), torch.tensor([[z]]).log())


def test_a_constant_map_gives_a_constant_window_inside_the_picture() -> None:
    window = MetricWindow(CONFIG.size, CONFIG.window_cells, CONFIG.window_extent, CONFIG.window_drop)
    rows, columns = window.kernels(query(64, 60, 6.0), CAMERA, 32)
    cut = window.cut(torch.ones(1, 2, 32, 32), rows, columns)
    assert torch.allclose(cut, torch.ones_like(cut), atol=0.05)


def test_what_lies_outside_the_picture_is_zero() -> None:
    window = MetricWindow(CONFIG.size, CONFIG.window_cells, CONFIG.window_extent, CONFIG.window_drop)
    rows, columns = window.kernels(query(-400, 60, 6.0), CAMERA, 32)
    assert window.cut(torch.ones(1, 1, 32, 32), rows, columns).abs().max() == 0


def test_a_linear_ramp_is_sampled_at_the_cells_own_pixels() -> None:
    window, z = MetricWindow(CONFIG.size, CONFIG.window_cells, CONFIG.window_extent, CONFIG.window_drop), 3.0
    ramp = ((torch.arange(32) + 0.5) * 4).expand(1, 1, 32, 32)
    rows, columns = window.kernels(query(64, 60, z), CAMERA, 32)
    cut = window.cut(ramp, rows, columns)[0, 0]
    expected = 64 + window.x_metres * 110 / z
    inside = (expected > 12) & (expected < 116)
    middle = cut[len(cut) // 2]
    assert torch.allclose(middle[inside], expected[inside], atol=0.6)


def test_twice_as_far_covers_half_as_many_pixels() -> None:
    window = MetricWindow(CONFIG.size, CONFIG.window_cells, CONFIG.window_extent, CONFIG.window_drop)
    spot = torch.zeros(1, 1, 32, 32)
    spot[..., 20] = 1.0  # a vertical line at u = 82, 18 px right of the middle
    near = window.cut(spot, *window.kernels(query(64, 64, 3.0), CAMERA, 32))[0, 0].sum(0).argmax()
    far = window.cut(spot, *window.kernels(query(64, 64, 6.0), CAMERA, 32))[0, 0].sum(0).argmax()
    assert abs(window.x_metres[near] - 18 * 3 / 110) < window.cell_metres
    assert abs(window.x_metres[far] - 18 * 6 / 110) < window.cell_metres
