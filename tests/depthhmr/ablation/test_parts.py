"""Each alteration of a part changes what the network says, and leaves the network as it was."""

import numpy as np
import pytest
import torch

from bodykit.body import load_body
from depthhmr.ablation.parts import PARTS, Part, measure
from depthhmr.network.config import preset
from depthhmr.network.model import DepthHMR, build_model
from depthhmr.synth.scene import Generator

SIZE = 64


@pytest.fixture(scope="module")
def network() -> DepthHMR:
    torch.manual_seed(0)
    network = build_model(preset("tiny", size=SIZE, dim=32, map_dim=16, fine_dim=8, window_dim=8, lifter_width=32))
    for layer in network.decoder.layers:  # a fresh decoder moves nothing
        torch.nn.init.normal_(layer.move[-1].weight, std=0.1)
    return network.eval()


@pytest.mark.parametrize("part", PARTS[1:], ids=lambda part: part.title)
def test_an_altered_part_changes_the_answer_and_is_put_back(network: DepthHMR, part: Part) -> None:
    image = torch.randn(2, 3, SIZE, SIZE)
    intrinsics = torch.tensor([[56.0, 56.0, 32.0, 32.0]]).expand(2, 4)
    with torch.no_grad():
        before = network(image, intrinsics)
        with part.altered(network):
            altered = network(image, intrinsics)
        after = network(image, intrinsics)
    pairs = zip(vars(before).values(), vars(altered).values(), strict=True)
    assert any(not torch.allclose(a, b, atol=1e-6) for a, b in pairs)
    assert all(torch.equal(a, b) for a, b in zip(vars(before).values(), vars(after).values(), strict=True))


def test_the_table_begins_with_the_network_as_it_is(network: DepthHMR) -> None:
    generator = Generator(load_body(), SIZE)
    samples = [generator.sample(20_000_000 + index) for index in range(2)]
    rows = list(measure(network, samples, load_body(), 0.01, PARTS[:2]))
    assert [part.title for part, _ in rows] == [part.title for part in PARTS[:2]]
    assert all(np.isfinite(scores.f1) for _, scores in rows)
