"""Trains the inverse-kinematics lifter on sampled people, without a single image.

What the person head will report is simulated: joints off across and along the ray, some badly; depths that shrink towards
the chest as an unsure regressor's do; a heading and a shape known only roughly.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bodykit.body import JOINT, SIDES, Body, load_body
from depthhmr.body_id import id_of, refuse_other_body
from depthhmr.evaluation.metrics import procrustes_distance
from depthhmr.network.checkpoints import load, save
from depthhmr.network.config import ModelConfig
from depthhmr.network.geometry import focal, heading, project, ray_depths, rays
from depthhmr.network.lifter import Lifted, Lifter
from depthhmr.network.person import observed_points
from depthhmr.network.queries import REFERENCE_JOINT, Queries
from depthhmr.network.skinning import BodyLayer
from depthhmr.synth.joints import sample_people
from depthhmr.training.loop import Log, Stopwatch, WeightAverage, learning_rate

BATCH = 512
POOL = 40_000  # people drawn at a time; each is used REUSE times under fresh noise
REUSE = 3
SAVE_EVERY = 500  # steps
# Their rotation hardly shows in the positions of joints.
END_JOINTS = [JOINT[f"{side}_{part}"] for part in ("foot", "wrist", "hand") for side in SIDES]


@dataclass(frozen=True)
class People:
    """N people with ground truth, one camera each."""

    rotations: Tensor  # [N, J, 3, 3]
    betas: Tensor  # [N, 10]
    joints: Tensor  # [N, J, 3], camera metres
    intrinsics: Tensor  # [N, 4]

    def __len__(self) -> int:
        return len(self.betas)

    def pick(self, index: Tensor) -> "People":
        return People(**{name: value[index] for name, value in vars(self).items()})


def draw(body: Body, seed: int, count: int) -> People:
    drawn = sample_people(body, np.random.default_rng(seed), count)
    as_tensor = lambda name: torch.from_numpy(np.ascontiguousarray(drawn[name])).float()  # noqa: E731
    return People(as_tensor("rotations"), as_tensor("betas"), as_tensor("joints_3d"), as_tensor("intrinsics"))


def simulate(people: People, level: float | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Observations of people as a person head may report them: inputs of the Lifter.

    level: one standard deviation in metres for all joints (for scoring), instead of the training mixture.
    """
    joints, intrinsics, count = people.joints, people.intrinsics, len(people)
    chest = joints[:, REFERENCE_JOINT]
    per_pixel = chest[:, 2] / focal(intrinsics)
    depth_error = torch.randn(count) * (0.08 if level is None else 0.04)
    off = torch.randn(count, 2) * 0.08 / per_pixel[:, None]
    queries = Queries(chest, project(chest, intrinsics) + off, chest[:, 2].log() + depth_error)

    low, high = math.log(0.012), math.log(0.5)
    if level is None:
        quality = torch.rand(count, 1) * 0.65 * (high - low) + low  # one image is clear, another is not
        outliers = (torch.rand(count, 24) < 0.10) * torch.rand(count, 24) * 2.5
        across = (quality + torch.randn(count, 24) * 0.4 + outliers).clamp(low, high)
        along = across * 0.5 + torch.rand(count, 24) * 0.8 + math.log(0.16) / 2 + torch.randn(count, 1) * 0.4
        along = along.clamp(math.log(0.03), math.log(0.6))
    else:
        across = torch.full((count, 24), math.log(level))
        along = torch.full((count, 24), math.log(max(0.06, 1.5 * level)))

    laplace = torch.distributions.Laplace(0.0, 0.7)
    scale = queries.log_depth.exp() / focal(intrinsics)
    offset = (project(joints, intrinsics[:, None]) - queries.uv[:, None]) * scale[:, None, None]
    depth = ray_depths(joints, chest)
    if level is None:  # an unsure regressor answers nearer the mean instead of more noisily
        timid = torch.rand(count, 1)
        depth = depth * (1 - timid * (2 * along).exp() / ((2 * along).exp() + 0.04))
    offset = offset + laplace.sample((count, 24, 2)) * across.exp()[..., None]
    depth = depth + laplace.sample((count, 24)) * along.exp()

    toward, _ = heading(people.rotations[:, 0], rays(project(chest, intrinsics), intrinsics))
    spread = torch.rand(count) * 0.9 + 0.05 if level is None else torch.full((count,), 0.3)
    turn = torch.randn(count) * spread
    sine, cosine = turn.sin(), turn.cos()
    turned = torch.stack([toward[:, 0] * cosine + toward[:, 1] * sine, toward[:, 1] * cosine - toward[:, 0] * sine], -1)
    yaw = turned * torch.exp(-spread.square() / 2)[:, None]
    betas = people.betas * torch.rand(count, 1) + 0.4 * torch.randn(count, 10)
    reported = torch.stack([across, along], -1) + 0.2 * torch.randn(count, 24, 2)
    return observed_points(offset, depth, queries, intrinsics), reported, yaw, betas


def losses(stages: list[Lifted], people: People, body: BodyLayer) -> dict[str, Tensor]:
    """Rotation and joint terms of every stage; the last counts fully, earlier ones half."""
    truth = people.joints - people.joints[:, :1]
    columns = torch.cat([people.rotations[..., 0], people.rotations[..., 1]], -1)
    weight = torch.ones(24)
    weight[END_JOINTS] = 0.2
    total: dict[str, Tensor] = {}
    for index, stage in enumerate(stages):
        share = 1.0 if index == len(stages) - 1 else 0.5
        rotated = torch.cat([people.rotations[:, :1], stage.rotations[:, 1:]], 1)
        in_body = body.joints(people.betas, rotated, torch.zeros_like(truth[:, 0]))  # heading errors taken out
        terms = {
            "rotation": 2 * ((stage.rotations - people.rotations).abs().mean((-1, -2)) * weight).mean(),
            "raw": 3 * ((stage.raw - columns).square().mean(-1) * weight).mean(),
            "root": (stage.rotations[:, 0] - people.rotations[:, 0]).abs().mean(),
            "body_joints": 6 * (in_body - truth).abs().mean(),
            "joints": 4 * (stage.joints - truth).abs().mean(),
        }
        for name, value in terms.items():
            total[name] = total.get(name, torch.zeros(())) + share * value
    return total


@torch.no_grad()
def score(lifter: Lifter, people: People, level: float) -> dict[str, float]:
    """MPJPE (mm, pelvis aligned), PA-MPJPE (mm) and median orientation error (degrees) at one noise level."""
    lifted = lifter(*simulate(people, level))[-1]
    truth = people.joints - people.joints[:, :1]
    error = (lifted.joints - truth).norm(dim=-1).mean().item()
    aligned = procrustes_distance(lifted.joints.numpy(), truth.numpy())
    trace = (lifted.rotations[:, 0] * people.rotations[:, 0]).sum((-1, -2))
    angle = torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).acos()).median().item()
    return {
        "mpjpe": 1000 * error,
        "pa_mpjpe": 1000 * float(aligned.mean()),
        "orientation": angle,
    }


def train_lifter(
    config: ModelConfig, out: Path, *, steps: int, learning_rate_peak: float = 1e-3, seed: int = 0,
    body: Body | None = None,
) -> None:  # fmt: skip
    """Trains for `steps` batches of 512 people, resuming from `out` where it exists, and saves the averaged weights there.

    People are of `body`, the free one when None; UserError where `out` is of another.
    What is random in a step follows from the seed and the step alone, as in train.py.
    """
    torch.manual_seed(seed)
    source = load_body() if body is None else body
    layer = BodyLayer(source)
    lifter = Lifter(config, layer)
    held_out = draw(source, 10**6, 1500)
    lifter.mean.copy_(_mean_pose(draw(source, 10**6 + 1, 8000)))
    optimiser = torch.optim.AdamW(lifter.parameters(), lr=1e-3, weight_decay=0.01, betas=(0.9, 0.98), fused=True)
    average = WeightAverage(lifter, 0.999)
    start, watch = 0, Stopwatch()
    if out.exists():
        state = load(out, "lifter")
        refuse_other_body(out, state.get("body"), source)
        if "optimiser" not in state:
            return  # it came trained, out of a model folder
        lifter.load_state_dict(state["training"])
        average.network.load_state_dict(state["lifter"])
        optimiser.load_state_dict(state["optimiser"])
        start, watch = state["step"], Stopwatch(state["wall"], state["cpu"])
    log = Log(out.with_suffix(".jsonl"), resume_at=start, count="step")
    pool: People | None = None
    for step in range(start, steps):
        place_in_pool = step % (POOL // BATCH * REUSE)
        if pool is None or place_in_pool == 0:
            pool = draw(source, seed * 10**5 + step - place_in_pool, POOL)
        torch.manual_seed(int(np.random.default_rng([seed, step]).integers(2**62)))
        batch = pool.pick(torch.randint(len(pool), (BATCH,)))
        rate = learning_rate(step / steps, step, peak=learning_rate_peak, warmup=200, decay_from=0.4)
        for group in optimiser.param_groups:
            group["lr"] = rate
        terms = losses(lifter(*simulate(batch)), batch, layer)
        loss = torch.stack(list(terms.values())).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lifter.parameters(), 2.0)
        optimiser.step()
        average.update(lifter, step)
        done = step + 1
        if done % SAVE_EVERY == 0 or done == steps:
            scores = {
                f"val.{level}.{k}": v
                for level in (0.015, 0.05, 0.12)
                for k, v in score(average.network, held_out, level).items()
            }
            log.write(step=done, people=done * BATCH, minutes=watch.wall / 60, loss=loss.item(), **scores)
            print(
                f"lifter {done}/{steps} {watch.cpu:.0f}s loss {loss.item():.3f}",
                {k: round(v, 1) for k, v in scores.items()},
                flush=True,
            )
            state = {
                "lifter": average.network.state_dict(),
                "training": lifter.state_dict(),
                "optimiser": optimiser.state_dict(),
                "body": id_of(source),
                "step": done,
                "wall": watch.wall,
                "cpu": watch.cpu,
            }
            save(out, state)


def _mean_pose(people: People) -> Tensor:
    """Mean 6D rotation per joint; the root's is a correction and starts as none."""
    mean = torch.cat([people.rotations[..., 0], people.rotations[..., 1]], -1).mean(0)
    mean[0] = torch.tensor([1.0, 0, 0, 0, 1, 0])
    return mean
