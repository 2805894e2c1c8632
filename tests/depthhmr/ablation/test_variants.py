"""The parts of the network that can be taken away: the default is untouched, and every remainder is a whole network."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from bodykit.errors import UserError
from depthhmr.data.shards import ShardPool, render_shard
from depthhmr.export.export import ExportModel, export_network, parity, rounded
from depthhmr.export.folder import Facts
from depthhmr.network.config import ModelConfig, TrainConfig, preset
from depthhmr.network.encoder import USUAL_DEPTH
from depthhmr.network.model import DepthHMR, build_model
from depthhmr.network.queries import Queries
from depthhmr.training.batch import make_batch
from depthhmr.training.criterion import Criterion
from depthhmr.training.losses.depth import depth_losses

SMALL = preset(
    "tiny", size=96, backbone="conv", conv_widths=(8, 8, 16, 16), dim=32, map_dim=16, fine_dim=8, window_dim=8, lifter_width=32,
    lifter_blocks=1, queries=5,
)  # fmt: skip
RGB = {"depth_stream": False, "guided_queries": False, "depth_attention": False}
CUTS = {
    "rgb": RGB,
    "stream": {"guided_queries": False, "depth_attention": False},
    "guided": {"depth_attention": False},
    "unguided": {"guided_queries": False},
    "uniform": {"bin_spacing": "uniform"},
    "full": {},
}

EXPECTED = {
    "scores": 5.24186, "rotations": 0.49784, "betas": 0.32322, "translation": 0.32319, "boxes": 209.05658,
    "depth": 9.97637,
}  # fmt: skip


def cut(name: str) -> ModelConfig:
    return ModelConfig.from_dict({**vars(SMALL), **CUTS[name]})


def picture(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    image = torch.rand(2, 3, size, size, generator=generator) * 4 - 2
    return image, torch.tensor([[1.1, 1.1, 0.5, 0.5], [1.3, 1.3, 0.45, 0.52]]) * size


def numbered(network: DepthHMR) -> DepthHMR:
    """Every weight set from its own name, so that outputs are comparable between versions."""
    for name, weight in network.state_dict().items():
        if not weight.dtype.is_floating_point:
            continue
        seed = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
        value = torch.rand(weight.shape, generator=torch.Generator().manual_seed(seed))
        if name.endswith("running_var"):
            weight.copy_(0.5 + value)
        elif weight.ndim > 1:
            weight.copy_((value - 0.5) * 2 * (3 / max(1, weight[0].numel())) ** 0.5)
        else:
            weight.copy_(0.2 * (value - 0.5) + name.endswith(".weight"))
    return network


def test_the_default_network_keeps_the_names_and_shapes_of_its_weights() -> None:
    lines = [f"{key} {list(value.shape)}" for key, value in build_model(preset("tiny")).state_dict().items()]
    assert len(lines) == 466
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert digest == "351f56848719ce29b6d3562b0330cb4463a2a03387643a1b27f4c66cd21a32da"


def test_the_default_network_still_answers_what_it_did_before_parts_could_be_taken_away() -> None:
    network = numbered(build_model(preset("tiny", backbone="conv", size=128))).eval()
    with torch.no_grad():
        people = network(*picture(128))
    magnitudes = {name: value.abs().mean().item() for name, value in vars(people).items()}
    assert magnitudes == pytest.approx(EXPECTED, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rgb", "stream"])
def test_a_remainder_exports(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = cut(name)
    network = build_model(config).eval()
    facts = Facts(preset=config.name, threshold=0.4, data="none")
    graph, _ = export_network(network, config, facts, tmp_path)
    assert parity(ExportModel(rounded(network)).eval(), graph, config.size, batch=2) < 2e-3


@pytest.mark.parametrize("name", CUTS)
def test_a_remainder_answers(name: str) -> None:
    with torch.no_grad():
        people = numbered(build_model(cut(name))).eval()(*picture(96))
    assert people.rotations.shape == (2, 5, 24, 3, 3) and people.translation.isfinite().all()
    assert people.depth.shape == (2, 12, 12) and (people.depth.any() or name == "rgb")


def test_without_a_depth_stream_nothing_of_it_is_left() -> None:
    names = [name for name, _ in build_model(cut("rgb")).named_parameters()]
    assert not [name for name in names if "depth_" in name and not name.startswith("person_head")]


def test_unguided_queries_start_where_a_usual_person_of_that_camera_is() -> None:
    network = build_model(cut("stream")).eval()
    image, intrinsics = picture(96)
    scene = network.encode(image, intrinsics)
    _, placements = network.query_head(scene.fused)
    cells = torch.tensor([[0, 5], [7, 40]])
    queries = network.query_head.at(cells, scene.fused, placements, scene.first_log_depth)
    canonical = queries.log_depth.exp() * (96 / 2 / torch.tensor(torch.pi / 6).tan()) / intrinsics[:, :1]
    assert torch.allclose(canonical, torch.full((2, 2), USUAL_DEPTH), rtol=1e-4)
    assert not torch.allclose(scene.log_depth, scene.first_log_depth)


def test_reading_without_depth_does_not_depend_on_the_depth_of_a_query() -> None:
    image, intrinsics = picture(96)
    for name, same in (("guided", True), ("uniform", False)):
        network = build_model(cut(name)).eval()
        scene, around = network.encode(image, intrinsics), network.decoder.layers[0].around
        uv = torch.full((2, 5, 2), 48.0)
        near, far = (
            around(Queries(torch.zeros(2, 5, 1), uv, torch.full((2, 5), depth)), scene)[0].values
            for depth in (0.5, 2.0)
        )
        assert torch.equal(near, far) == same


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    root = tmp_path_factory.mktemp("shards")
    render_shard(root, 2, 4, 96, whole_depth=True)
    return ShardPool(root).draw(np.random.default_rng(0), 4, shards_per_batch=1)


@pytest.mark.parametrize(
    ("name", "target"),
    [("rgb", "none"), ("stream", "none"), ("stream", "scene"), ("guided", "human"), ("full", "scene")],
)
def test_every_part_of_a_remainder_learns(name: str, target: str, shard: dict[str, np.ndarray]) -> None:
    network = build_model(cut(name)).train()
    network.lifter.requires_grad_(False)
    batch = make_batch(shard, 96, whole_depth=target == "scene")
    torch.manual_seed(0)
    terms, _ = Criterion(network, TrainConfig(depth_target=target))(batch, anchored_share=0.5)
    torch.stack(list(terms.values())).sum().backward()
    learned = [(key, weight) for key, weight in network.named_parameters() if not key.startswith("lifter.")]
    assert [key for key, weight in learned if weight.grad is None] == []
    assert ("depth_bins" in terms) == (target != "none")


def test_the_whole_scene_is_farther_than_its_people_and_ends_with_the_picture(shard: dict[str, np.ndarray]) -> None:
    depth, whole = shard["depth"].astype(float), shard["whole_depth"].astype(float)
    assert np.array_equal(whole[depth > 0], depth[depth > 0])
    pictured = whole > 0
    assert pictured.mean() > 1.5 * (depth > 0).mean() and whole.max() <= 100
    assert (~pictured).any() and (whole[pictured] > 0.05).all()


def test_whole_scenes_are_taught_where_nobody_is(shard: dict[str, np.ndarray]) -> None:
    network = build_model(cut("full")).train()
    nobody = shard | {"depth": np.zeros_like(shard["depth"])}
    errors = {}
    for target in ("human", "scene"):
        batch = make_batch(nobody, 96, whole_depth=target == "scene")
        scene = network.encode(batch.image, batch.intrinsics)
        terms = depth_losses(network.streams.depth_branch.bins, target, scene, batch)
        errors[target] = terms["depth_map"].item()
    assert errors["human"] == 0 < errors["scene"]


def test_shards_of_people_do_not_teach_whole_scenes(shard: dict[str, np.ndarray]) -> None:
    people = {name: array for name, array in shard.items() if name != "whole_depth"}
    with pytest.raises(UserError, match="whole scenes"):
        make_batch(people, 96, whole_depth=True)


def test_a_network_without_depth_stream_is_not_taught_depth() -> None:
    with pytest.raises(ValueError, match="'human'"):
        Criterion(build_model(cut("rgb")), TrainConfig())


def test_a_contradiction_is_refused_with_its_reason() -> None:
    with pytest.raises(ValueError, match="both read it"):
        preset("tiny", depth_stream=False)
    with pytest.raises(ValueError, match="'log'"):
        preset("tiny", bin_spacing="log")
    with pytest.raises(ValueError, match="'everything'"):
        TrainConfig(depth_target="everything")
