"""Brings the lifter near what the person head really reports.

Simulated noise is independent from joint to joint; a network's is not: whole limbs go astray together, depths shrink, a
body is taken for its back. So the trained network looks at training images, what it reports is kept beside the truth, and
the lifter is trained on, half of every batch on those reports and half on simulated ones. The simulated half keeps it from
forgetting what exact joints mean; training through the pixels, without it, had cost 40 mm on exact joints.
"""

import dataclasses
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bodykit.body import Body
from bodykit.errors import UserError
from depthhmr.body_id import refuse_other_body
from depthhmr.data.shards import ShardPool
from depthhmr.evaluation.metrics import procrustes_distance
from depthhmr.network.checkpoints import load, save
from depthhmr.network.config import ModelConfig
from depthhmr.network.lifter import Lifter
from depthhmr.network.model import DepthHMR, build_model
from depthhmr.network.person import observed_points
from depthhmr.network.queries import Queries
from depthhmr.network.skinning import BodyLayer
from depthhmr.training.batch import make_batch, mirror
from depthhmr.training.lifter_noise import simulate
from depthhmr.training.lifter_people import People, draw, draw_widely
from depthhmr.training.loop import WeightAverage, learning_rate
from depthhmr.training.losses.truth import truth_of
from depthhmr.training.matcher import match
from depthhmr.training.train_lifter import BATCH, NOISE, POOL, losses, score

CHUNK = 32  # images per forward pass


@dataclasses.dataclass(frozen=True)
class Reports:
    """What a network says of N people, and who they are."""

    points: Tensor  # [N, J, 3]
    log_sigma: Tensor  # [N, J, 2]
    yaw: Tensor  # [N, 2]
    betas: Tensor  # [N, 10], as estimated
    people: People
    picture: Tensor  # [N] int64, the same for all reports on a picture: it is drawn again and again

    def pick(self, index: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], People]:
        said = (self.points[index], self.log_sigma[index], self.yaw[index], self.betas[index])
        return said, self.people.pick(index)

    def split(self) -> tuple[Tensor, Tensor]:
        """Indices of the reports on a tenth of the pictures, and of those on the others."""
        pictures = self.picture.unique()
        first = torch.isin(self.picture, pictures[: max(1, len(pictures) // 10)])
        return first.nonzero()[:, 0], (~first).nonzero()[:, 0]


@torch.no_grad()
def collect(network: DepthHMR, pool: ShardPool, size: int, images: int, min_visible: float, seed: int) -> Reports:
    """Reports on the people that the network's own proposals find in `images` random training images."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    parts: list[tuple[Tensor, ...]] = []
    for _ in range(-(-images // CHUNK)):
        arrays = pool.draw(rng, CHUNK)
        checksums = torch.tensor([zlib.crc32(np.ascontiguousarray(rgb)) for rgb in arrays["rgb"]])
        batch = make_batch(arrays, size)
        batch = mirror(batch, torch.rand(len(batch)) < 0.5)
        truth = truth_of(batch, min_visible)
        scene = network.encode(batch.image, batch.intrinsics)
        score_logits, placements = network.query_head(scene.fused)
        cells = network.query_head.best_cells(score_logits)
        last = network.decode(network.query_head.at(cells, scene.fused, placements, scene.first_log_depth), scene)[-1]
        person = match(
            last.logits, last.queries.uv, last.queries.log_depth, truth.chest, truth.log_depth, truth.pixels_per_metre,
            truth.learned,
        )  # fmt: skip
        image, query = (person >= 0).nonzero(as_tuple=True)
        if not len(image):
            continue
        who = person[image, query]
        queries = Queries(
            last.queries.content[image, query], last.queries.uv[image, query], last.queries.log_depth[image, query]
        )
        alone = Queries(queries.content[:, None], queries.uv[:, None], queries.log_depth[:, None])
        observed = network.person_head(scene.of(image), alone)
        offset, depth, log_sigma = observed.anatomical(observed.swap_logit > 0)
        intrinsics = batch.intrinsics[image]
        points = observed_points(offset, depth, queries, intrinsics)
        known = (batch.rotations[image, who], batch.betas[image, who], batch.joints[image, who], intrinsics)
        parts.append((points, log_sigma, observed.yaw, observed.betas, checksums[image], *known))
    if not parts:
        raise UserError(f"expected a network that finds people, it found nobody in {images} training images")
    points, log_sigma, yaw, betas, picture, *known = (torch.cat(column) for column in zip(*parts, strict=True))
    return Reports(points, log_sigma, yaw, betas, People(*known), picture)


def adapt_lifter(
    body: Body, lifter: Lifter, reports: Reports, *, steps: int, peak: float = 4e-4, seed: int = 0
) -> tuple[Lifter, dict[str, float]]:
    """The lifter trained on for `steps` batches, and its scores: on held-out pictures before and after, on exact joints."""
    torch.manual_seed(seed)
    layer: BodyLayer = lifter.body
    kept, others = reports.split()
    before = _on_reports(lifter, reports, kept)
    optimiser = torch.optim.AdamW(lifter.parameters(), lr=peak, weight_decay=0.01, betas=(0.9, 0.98), fused=True)
    average = WeightAverage(lifter, 0.998)
    pool: People | None = None
    lifter.train().requires_grad_(True)
    for step in range(steps):
        if pool is None or step % (POOL // BATCH * 3) == 0:
            pool = draw_widely(layer, body, 7 * 10**8 + seed + step, POOL)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step / steps, step, peak=peak, warmup=50, decay_from=0.3)
        said, people = reports.pick(others[torch.randint(len(others), (BATCH // 2,))])
        simulated = pool.pick(torch.randint(len(pool), (BATCH // 2,)))
        inputs = [torch.cat(pair) for pair in zip(said, simulate(simulated), strict=True)]
        both = People(*(torch.cat(pair) for pair in zip(vars(people).values(), vars(simulated).values(), strict=True)))
        loss = torch.stack(list(losses(lifter(*inputs), both, layer).values())).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lifter.parameters(), 2.0)
        optimiser.step()
        average.update(lifter, step)
        if (step + 1) % 200 == 0:
            print(
                f"lifter {step + 1}/{steps} loss {loss.item():.3f}",
                _on_reports(average.network, reports, kept),
                flush=True,
            )
    after = _on_reports(average.network, reports, kept)
    exact = score(average.network, draw(body, 10**6, 1500), *NOISE["exact"])
    figures = {f"before.{k}": v for k, v in before.items()} | {f"after.{k}": v for k, v in after.items()}
    return average.network, figures | {f"exact.{k}": v for k, v in exact.items()}


@torch.no_grad()
def _on_reports(lifter: Lifter, reports: Reports, index: Tensor) -> dict[str, float]:
    """MPJPE and PA-MPJPE in mm on people in pictures that the lifter was not trained on."""
    said, people = reports.pick(index)
    lifted = lifter(*said)[-1]
    truth = people.joints - people.joints[:, :1]
    aligned = procrustes_distance(lifted.joints.numpy(), truth.numpy())
    error = (lifted.joints - truth).norm(dim=-1).mean().item()
    return {"mpjpe": round(1000 * error, 1), "pa_mpjpe": round(1000 * float(aligned.mean()), 1)}


def adapt_run(folder: Path, body: Body, *, images: int, steps: int, min_visible: float) -> dict[str, float]:
    """Adapts the lifter of a run: lifter.pt is replaced, the first one stays beside it as lifter-first.pt."""
    state = load(folder / "checkpoint.pt", "config", "model")
    refuse_other_body(folder / "checkpoint.pt", state.get("body"), body)
    network = build_model(ModelConfig.from_dict(state["config"]), BodyLayer(body)).eval()
    network.load_state_dict(state["model"])
    reports = collect(network, ShardPool(folder / "shards"), state["config"]["size"], images, min_visible, seed=1)
    path, first = folder / "lifter.pt", folder / "lifter-first.pt"
    old = load(path, "lifter")
    if not first.exists():
        save(first, old)
    lifter, figures = adapt_lifter(body, network.lifter, reports, steps=steps)
    save(path, {**old, "lifter": lifter.state_dict(), "training": lifter.state_dict()})
    return figures
