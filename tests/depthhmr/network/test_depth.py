"""Depth bins: edges, centres, and the expectation that a soft target stands for."""

import torch

from depthhmr.network.config import preset
from depthhmr.network.depth import DepthBins, DepthBranch, canonical_log_shift


def test_bins_cover_the_range_with_growing_widths() -> None:
    bins = DepthBins(64, 0.5, 50.0)
    widths = bins.edges.diff()
    assert torch.isclose(bins.edges[0], torch.tensor(0.5)) and torch.isclose(bins.edges[-1], torch.tensor(50.0))
    assert (widths.diff() > 0).all()


def test_centres_lie_midway_between_edges() -> None:
    bins = DepthBins(80, 1e-3, 60.0)
    assert torch.allclose(bins.centres, (bins.edges[1:] + bins.edges[:-1]) / 2, atol=1e-4)


def test_index_agrees_with_the_edges() -> None:
    bins = DepthBins(48, 0.5, 40.0)
    depth = torch.linspace(0.6, 39.9, 500)
    index = bins.index(depth)
    assert ((bins.edges[index] <= depth + 1e-4) & (depth <= bins.edges[index + 1] + 1e-4)).all()


def test_depths_outside_the_range_go_to_the_outer_bins() -> None:
    bins = DepthBins(48, 0.5, 40.0)
    assert bins.index(torch.tensor([0.0, 1e6])).tolist() == [0, 47]


def test_a_soft_target_has_the_depth_as_its_expectation() -> None:
    bins = DepthBins(48, 0.5, 40.0)
    depth = torch.linspace(0.6, 38.0, 200)
    lower, upper, weight = bins.soft_target(depth)
    assert torch.allclose(bins.centres[lower] * (1 - weight) + bins.centres[upper] * weight, depth, atol=1e-3)


def test_canonical_depth_does_not_change_when_the_picture_is_enlarged() -> None:
    small, large = torch.tensor([100.0, 100, 64, 64]), torch.tensor([200.0, 200, 128, 128])
    assert torch.isclose(canonical_log_shift(small, 128), canonical_log_shift(large, 256))


def test_expectation_ignores_the_share_without_a_human() -> None:
    config = preset("tiny")
    branch = DepthBranch(config, (32, 64, 128))
    logits = torch.full((1, config.depth_bins + 1, 1, 1), -20.0)
    logits[0, 10], logits[0, -1] = 3.0, 3.0
    _, log_depth, human = branch.expectation(logits)
    assert torch.isclose(log_depth[0, 0, 0].exp(), branch.bins.centres[10], rtol=1e-3)
    assert abs(human.item() - 0.5) < 1e-3
