"""Part of the way from one network to another."""

import pytest
import torch

from bodykit.errors import UserError
from depthhmr.network.config import preset
from depthhmr.network.model import build_model
from depthhmr.training.blend import blend

SMALL = preset(
    "tiny", size=64, lifter_width=32, lifter_blocks=1, conv_widths=(8, 8, 16, 16), dim=32, map_dim=16, fine_dim=8,
    window_dim=8, queries=4, backbone="conv",
)  # fmt: skip


def test_a_share_of_the_way_is_that_share_of_every_weight() -> None:
    first, second = build_model(SMALL), build_model(SMALL)

    quarter = blend(first, second, 0.25).state_dict()

    for name, old in first.state_dict().items():
        expected = old + (second.state_dict()[name] - old) * 0.25 if old.is_floating_point() else old
        assert torch.allclose(quarter[name], expected, atol=1e-6), name


def test_the_ends_are_the_networks_themselves() -> None:
    first, second = build_model(SMALL), build_model(SMALL)
    weight = "decoder.layers.0.feed.0.weight"

    assert torch.equal(blend(first, second, 0.0).state_dict()[weight], first.state_dict()[weight])
    assert torch.equal(blend(first, second, 1.0).state_dict()[weight], second.state_dict()[weight])


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    network = build_model(SMALL)
    with pytest.raises(UserError, match="share from 0 to 1"):
        blend(network, network, share)


def test_networks_of_other_parts_are_refused() -> None:
    other = preset("tiny", size=64)
    with pytest.raises(UserError, match="same parts"):
        blend(build_model(SMALL), build_model(other), 0.5)
