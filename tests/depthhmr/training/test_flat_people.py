"""People of whom only joints in the picture are labelled: what they teach, and what nobody is punished for."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bodykit.body import load_body
from bodykit.errors import UserError
from depthhmr.data.shards import Mixture, ShardPool, Source
from depthhmr.network.config import TrainConfig, preset
from depthhmr.network.geometry import project
from depthhmr.network.model import build_model
from depthhmr.training.batch import join, make_batch, mirror
from depthhmr.training.criterion import Criterion
from depthhmr.training.lifter_people import draw
from depthhmr.training.losses.proposals import cells_of, score_loss
from depthhmr.training.losses.queries import order_loss
from depthhmr.training.losses.truth import truth_of
from depthhmr.training.rough_place import rough_place
from depthhmr.training.train import Run

SMALL = preset(
    "tiny", size=64, lifter_width=32, lifter_blocks=1, conv_widths=(8, 8, 16, 16), dim=32, map_dim=16, fine_dim=8,
    window_dim=8, queries=4, backbone="conv",
)  # fmt: skip
SIZE = 64
CAMERA = np.float32([55, 55, 32, 32])
LABELLED = (1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21)


def arrays(images: int, *, flat: bool) -> dict[str, np.ndarray]:
    """One person each in the middle of a picture of noise, 4 m away; flat ones keep their pixels alone."""
    crowd = draw(load_body(), 5, images)
    joints = (crowd.joints - crowd.joints[:, :1] + torch.tensor([0.0, 0.0, 4.0]))[:, None]
    content = {
        "rgb": np.random.default_rng(0).integers(0, 255, (images, SIZE, SIZE, 3), dtype=np.uint8),
        "depth": np.zeros((images, SIZE, SIZE), np.float16),
        "intrinsics": np.tile(CAMERA, (images, 1)),
        "count": np.ones(images, np.int16),
        "visible": np.ones((images, 1), np.float32),
        "rotations": crowd.rotations[:, None].numpy(),
        "betas": crowd.betas[:, None].numpy(),
        "joints_3d": joints.numpy(),
    }
    if flat:
        known = np.zeros((images, 1, 24), bool)
        known[..., LABELLED] = True
        pixels = project(joints, torch.from_numpy(CAMERA)).numpy()
        content |= {
            "rotations": np.tile(np.eye(3, dtype=np.float32), (images, 1, 24, 1, 1)),
            "betas": np.zeros((images, 1, 10), np.float32),
            "joints_3d": np.ones((images, 1, 24, 3), np.float32),
            "joints_2d": np.where(known[..., None], pixels, 0),
            "known_2d": known,
            "known_3d": np.zeros((images, 1), bool),
            "layer": np.full((images, 1), -1, np.int16),
            "everyone": np.zeros(images, bool),
            "metric": np.zeros(images, bool),
            "known_depth": np.zeros(images, bool),
        }
    return content


def test_a_person_is_placed_by_the_lengths_of_bones() -> None:
    exact = truth_of(make_batch(arrays(400, flat=False), SIZE), 0.0)
    rough = truth_of(make_batch(arrays(400, flat=True), SIZE), 0.0)

    assert rough.learned.float().mean() > 0.95 and rough.rough.all() and not exact.rough.any()
    known = rough.learned & exact.learned
    error = (rough.log_depth - exact.log_depth)[known]
    assert error.median().abs() < 0.05 and error.abs().median() < 0.1
    apart = ((rough.chest - exact.chest).norm(dim=-1) / exact.pixels_per_metre)[known]
    assert apart.median() < 0.06


def test_nobody_is_placed_by_too_few_bones() -> None:
    pixels, known = torch.rand(1, 1, 24, 2) * 60, torch.zeros(1, 1, 24, dtype=torch.bool)
    known[..., [1, 2, 16, 17]] = True

    _, log_depth, enough = rough_place(pixels, known, torch.from_numpy(CAMERA)[None])

    assert not enough.any() and log_depth.isfinite().all()


def test_flat_people_teach_by_their_pixels_alone() -> None:
    torch.manual_seed(0)
    model = build_model(SMALL).train()
    terms, figures = Criterion(model, TrainConfig())(make_batch(arrays(4, flat=True), SIZE), anchored_share=1.0)

    assert {"depth_bins", "depth_map", "joint_depth", "joint_depth_bins", "yaw", "betas"} <= {
        name for name, value in terms.items() if value == 0
    }
    assert terms["offset"] > 0 and terms["reprojected"] > 0 and figures["joint_depth_cm"] == 0
    terms["reprojected"].backward()
    reached = model.person_head.joint_weight.grad
    assert reached is not None and reached[..., 4:].abs().sum() > 0  # a joint's depth, too


def test_where_nobody_is_labelled_nobody_is_punished() -> None:
    head = build_model(SMALL).query_head
    batch = make_batch(arrays(2, flat=True), SIZE)
    truth = truth_of(batch, 0.0)
    cells, _ = cells_of(head, truth.chest)
    logits = torch.zeros(2, head.side**2, requires_grad=True)

    score_loss(head, logits, truth, cells, batch.everyone).backward()

    centres = head.centres.expand(2, -1, -1)
    elsewhere = (~truth.on_labelled(centres)).scatter(1, cells, False)
    assert elsewhere.any() and (logits.grad[elsewhere] == 0).all()
    assert logits.grad.gather(1, cells).abs().min() > 0

    logits.grad = None
    score_loss(head, logits, truth, cells, torch.ones(2, dtype=torch.bool)).backward()
    assert (logits.grad[elsewhere] > 0).any()


@pytest.mark.parametrize("unlabelled", [(16,), (16, 17), (1, 2), (16, 17, 18, 19, 20, 21, 1, 2)])
def test_who_cannot_be_placed_is_not_taught_to_be_nobody(unlabelled: tuple[int, ...]) -> None:
    content = arrays(8, flat=True)
    content["known_2d"][..., list(unlabelled)] = False
    content["joints_2d"][~content["known_2d"]] = 0
    content["everyone"][:] = True
    batch, whole = make_batch(content, SIZE), make_batch(arrays(8, flat=False), SIZE)
    truth, placed = truth_of(batch, 0.0), truth_of(whole, 0.0)
    head = build_model(SMALL).query_head
    logits = torch.zeros(8, head.side**2, requires_grad=True)

    score_loss(head, logits, truth, cells_of(head, truth.chest)[0], batch.everyone).backward()

    assert not truth.learned.any() and not truth.ignored.any()
    own, _ = cells_of(head, placed.chest)
    assert (logits.grad.gather(1, own) == 0).all() and (logits.grad > 0).any()
    assert truth.on_unplaced(placed.chest).all() and not truth.on_unplaced(torch.zeros(8, 1, 2)).any()


def test_who_has_no_label_at_all_hides_nothing() -> None:
    content = arrays(2, flat=True)
    content["known_2d"][:] = False

    truth = truth_of(make_batch(content, SIZE), 0.0)

    assert not truth.on_unplaced(torch.rand(2, 5, 2) * SIZE).any()


def test_layers_say_who_is_nearer() -> None:
    batch = make_batch(arrays(2, flat=True), SIZE)
    learned = truth_of(batch, 0.0).learned.expand(-1, 2)
    depths = torch.tensor([[1.0, 2.0], [1.0, 1.05]])

    assert order_loss(depths, learned, torch.tensor([[0, 1], [0, 0]])) == 0
    assert order_loss(depths, learned, torch.tensor([[1, 0], [-1, 0]])) > 1
    assert order_loss(depths, learned, torch.tensor([[0, 0], [0, 1]])) == pytest.approx((0.9 + 0.05) / 2)


def test_batches_of_several_sources_become_one() -> None:
    solid = arrays(2, flat=False)
    solid = {k: np.repeat(v, 2, 1) if v.ndim > 1 and v.shape[1] == 1 else v for k, v in solid.items()}
    solid["count"][:] = 2

    batch = join([make_batch(solid, SIZE), make_batch(arrays(3, flat=True), SIZE)])

    assert batch.valid.tolist() == [[True, True]] * 2 + [[True, False]] * 3
    assert batch.known_3d[:, 0].tolist() == [True, True, False, False, False]
    assert batch.everyone.tolist() == batch.metric.tolist() == [True, True, False, False, False]
    model = build_model(SMALL).train()
    terms, _ = Criterion(model, TrainConfig())(batch, anchored_share=0.5)
    assert torch.stack(list(terms.values())).sum().isfinite()


def test_mirrored_labels_stay_on_the_body() -> None:
    batch = make_batch(arrays(3, flat=True), SIZE)
    mirrored = mirror(batch, torch.ones(3, dtype=torch.bool))

    assert torch.allclose(mirrored.pixels[:, :, 4, 0], SIZE - batch.pixels[:, :, 5, 0])
    assert torch.equal(mirror(mirrored, torch.ones(3, dtype=torch.bool)).known_2d, batch.known_2d)


def test_a_mixture_keeps_its_shares(tmp_path: Path) -> None:
    pools = []
    for value in (0, 1):
        folder = tmp_path / str(value) / "0000000000"
        folder.mkdir(parents=True)
        np.save(folder / "count.npy", np.full(64, value, np.int16))
        (folder / "shard.json").write_text("{}")
        pools.append(ShardPool(tmp_path / str(value)))
    rng = np.random.default_rng(0)

    mixture = Mixture(
        [Source(pools[0], 0.75), Source(pools[1], 0.25, lambda arrays, _: {"count": arrays["count"] + 1})]
    )
    drawn = [np.concatenate([part["count"] for part in mixture.draw(rng, 16)]) for _ in range(100)]

    assert all(len(counts) == 16 for counts in drawn)
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.06)


def test_a_shard_may_hold_less_than_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "0000000000").mkdir()
    np.save(tmp_path / "0000000000" / "count.npy", np.int16([1, 2]))
    (tmp_path / "0000000000" / "shard.json").write_text("{}")

    drawn = ShardPool(tmp_path).draw(np.random.default_rng(0), 9)

    assert len(drawn["count"]) == 9 and set(drawn["count"]) == {1, 2}


@pytest.mark.parametrize("shares", [(0.7, 0.7), (-0.1,), (0.0,)])
def test_shares_that_cannot_be_are_refused(tmp_path: Path, shares: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="shares above 0"):
        Run(folder=tmp_path, model=SMALL, train=TrainConfig(), mix=tuple((tmp_path, share) for share in shares))


def test_a_folder_without_shards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="depthhmr data pack"):
        Run(folder=tmp_path, model=SMALL, train=TrainConfig(), mix=((tmp_path, 0.5),))
