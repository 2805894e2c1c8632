"""The network as a whole: shapes, presets, gradients, determinism, and the exported graph."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bodykit.body import load_body
from depthhmr.export.export import ExportModel, export_network, parity, rounded
from depthhmr.export.folder import Facts
from depthhmr.network.config import PRESETS, TrainConfig, preset
from depthhmr.network.decoder import Decoded
from depthhmr.network.geometry import project
from depthhmr.network.model import build_model, joint_boxes, quieten_doubles
from depthhmr.network.queries import Queries
from depthhmr.training.batch import Batch, make_batch, mirror
from depthhmr.training.criterion import Criterion
from depthhmr.training.lifter_noise import simulate
from depthhmr.training.lifter_people import draw

TINY = preset("tiny", backbone="conv", size=128, lifter_width=32, lifter_blocks=1)


def arrays(images: int = 3, people: int = 2, size: int = 96) -> dict[str, np.ndarray]:
    """What a shard holds, with people but without a picture of them."""
    crowd = draw(load_body(), 1, images * people)
    shape = lambda t: t.numpy().reshape(images, people, *t.shape[1:])  # noqa: E731
    joints = crowd.joints - crowd.joints[:, :1] + torch.tensor([0.0, 0.0, 4.0])
    return {
        "rgb": np.random.default_rng(0).integers(0, 255, (images, size, size, 3), dtype=np.uint8),
        "depth": np.full((images, size, size), 4, np.float16),
        "intrinsics": np.tile(np.float32([83, 83, 48, 48]), (images, 1)),
        "count": np.int16([people, 0, 1][:images]),
        "visible": np.ones((images, people), np.float32),
        "rotations": shape(crowd.rotations),
        "betas": shape(crowd.betas),
        "joints_3d": shape(joints),
    }


def camera(batch: int, size: int) -> torch.Tensor:
    return torch.tensor([[0.87 * size, 0.87 * size, size / 2, size / 2]]).repeat(batch, 1)


def test_forward_gives_k_people_of_the_contract() -> None:
    model = build_model(TINY).eval()
    with torch.no_grad():
        people = model(torch.randn(2, 3, 128, 128), camera(2, 128))
    assert people.scores.shape == (2, 16) and people.rotations.shape == (2, 16, 24, 3, 3)
    assert people.translation.shape == (2, 16, 3) and people.boxes.shape == (2, 16, 4)
    assert people.depth.shape == (2, 16, 16) and people.betas.shape == (2, 16, 10)
    identity = people.rotations @ people.rotations.transpose(-1, -2)
    assert torch.allclose(identity, torch.eye(3).expand_as(identity), atol=1e-3)


def test_analytic_ik_leads_the_joints_of_a_network_nearer_to_its_own_pixels() -> None:
    torch.manual_seed(0)
    plain = build_model(replace(TINY, analytic_ik=False)).eval()
    fitted = build_model(TINY)
    fitted.load_state_dict(plain.state_dict())
    crowd = draw(load_body(), 3, 40)
    points, log_sigma, yaw, betas = simulate(crowd, 0.02)
    with torch.no_grad():
        lifted = plain.lifter(points, log_sigma, yaw, betas)[-1]
        misses = []
        for network in (plain, fitted.eval()):
            rotations, joints, place = network._placed(lifted, points, log_sigma)
            assert torch.allclose(network.body.joints(betas, rotations, place), joints, atol=1e-3)
            seen, wanted = (project(x, crowd.intrinsics[:, None]) for x in (joints, points))
            misses.append((seen - wanted).norm(dim=-1).mean())
    assert misses[1] < 0.5 * misses[0]


def test_the_network_works_at_another_size() -> None:
    model = build_model(preset("tiny", size=192, lifter_width=32, lifter_blocks=1)).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 192, 192), camera(1, 192)).depth.shape == (1, 24, 24)


@pytest.mark.parametrize("name", ["small", "base"])
def test_dinov2_presets_build_and_run(name: str) -> None:
    size = 56  # four patches a side: the sizes of the paper run in minutes, not in a test
    model = build_model(preset(name, size=size, queries=4, decoder_layers=1, lifter_width=32, lifter_blocks=1)).eval()
    with torch.no_grad():
        people = model(torch.randn(1, 3, size, size), camera(1, size))
    assert people.rotations.shape == (1, 4, 24, 3, 3) and people.translation.isfinite().all()


def test_presets_differ_in_fields_of_one_configuration() -> None:
    assert {type(config) for config in PRESETS.values()} == {type(TINY)}
    assert PRESETS["small"].size == 448 and PRESETS["base"].size == 644


def test_every_trained_parameter_gets_a_gradient() -> None:
    model = build_model(TINY).train()
    model.lifter.requires_grad_(False)
    torch.manual_seed(0)
    terms, figures = Criterion(model, TrainConfig())(make_batch(arrays(), 96 * 4 // 3), anchored_share=0.5)
    torch.stack(list(terms.values())).sum().backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    assert all(value.isfinite() for value in terms.values()) and 0 <= figures["facing_right"] <= 1
    assert all(p.grad is None for p in model.lifter.parameters())


def test_a_batch_without_people_still_trains() -> None:
    model = build_model(TINY).train()
    empty = arrays()
    empty["count"][:] = 0
    empty["depth"][:] = 0
    terms, _ = Criterion(model, TrainConfig())(make_batch(empty, 128), anchored_share=1.0)
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    assert total.isfinite()


@pytest.mark.slow
def test_the_criterion_falls_when_one_batch_is_learned() -> None:
    torch.manual_seed(0)
    model = build_model(TINY).train()
    criterion, batch = Criterion(model, TrainConfig()), make_batch(arrays(), 128)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    totals = []
    for _ in range(12):
        terms, _ = criterion(batch, anchored_share=1.0)
        loss = torch.stack(list(terms.values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        totals.append(loss.item())
    assert np.mean(totals[-3:]) < 0.8 * np.mean(totals[:3])


def test_mirroring_keeps_people_on_their_pixels() -> None:
    batch = make_batch(arrays(), 128)
    mirrored = mirror(batch, torch.ones(3, dtype=torch.bool))
    uv = project(batch.joints, batch.intrinsics[:, None, None])[:, :, [1]]  # left hip
    uv_mirrored = project(mirrored.joints, mirrored.intrinsics[:, None, None])[:, :, [2]]  # now the right one
    assert torch.allclose(128 - uv[..., 0], uv_mirrored[..., 0], atol=1e-3)
    assert torch.allclose(mirror(mirrored, torch.ones(3, dtype=torch.bool)).image, batch.image)


def test_mirrored_rotations_pose_the_mirrored_joints() -> None:
    model = build_model(TINY)
    batch: Batch = make_batch(arrays(), 128)
    mirrored = mirror(batch, torch.ones(3, dtype=torch.bool))
    posed = model.body.joints(mirrored.betas[0], mirrored.rotations[0], mirrored.joints[0, :, 0])
    assert torch.allclose(posed, mirrored.joints[0], atol=0.01)


def test_of_two_queries_on_one_chest_the_surer_one_stays() -> None:
    uv = torch.tensor([[[64.0, 60.0], [65.0, 60.0], [64.0, 60.0], [90.0, 60.0]]])
    log_depth = torch.tensor([[4.0, 4.1, 6.0, 4.0]]).log()
    queries = Queries(torch.zeros(1, 4, 1), uv, log_depth)
    logits = quieten_doubles(Decoded(queries, torch.tensor([[2.0, 1.0, 1.0, 1.0]])), camera(1, 128))
    assert logits.tolist() == [[2.0, -3.0, 1.0, 1.0]]  # behind is another person, beside too


def test_boxes_hold_all_joints() -> None:
    batch = make_batch(arrays(), 128)
    boxes = joint_boxes(batch.joints[0], batch.intrinsics[0].expand(2, 4))
    uv = project(batch.joints[0], batch.intrinsics[0])
    assert (uv >= boxes[:, None, :2]).all() and (uv <= boxes[:, None, 2:]).all()


@pytest.mark.slow
@pytest.mark.parametrize("fitted", [False, True], ids=["lifter alone", "analytic inverse kinematics"])
def test_the_exported_graph_agrees_with_pytorch_at_two_batch_sizes(tmp_path: Path, fitted: bool) -> None:
    torch.manual_seed(1)
    config = replace(TINY, pixels_apart=fitted, analytic_ik=fitted)
    model = build_model(config).eval()
    facts = Facts(preset=TINY.name, threshold=0.4, data="none")
    graph, _ = export_network(model, config, facts, tmp_path)
    assert max(parity(ExportModel(rounded(model)).eval(), graph, TINY.size, batch) for batch in (1, 3)) < 2e-3
    assert (tmp_path / "manifest.json").exists()
