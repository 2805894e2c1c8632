"""Trains the inverse-kinematics lifter on sampled people, without a single image.

The people are those of lifter_people.py, what a person head says of them is simulated by lifter_noise.py.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bodykit.body import JOINT, SIDES, Body, load_body
from bodykit.errors import UserError
from depthhmr.body_id import id_of, refuse_other_body
from depthhmr.evaluation.metrics import procrustes_distance
from depthhmr.network.checkpoints import load, save
from depthhmr.network.config import ModelConfig
from depthhmr.network.lifter import Lifted, Lifter
from depthhmr.network.skinning import BodyLayer
from depthhmr.training.lifter_noise import simulate
from depthhmr.training.lifter_people import People, draw, draw_widely
from depthhmr.training.loop import Log, Stopwatch, WeightAverage, learning_rate

BATCH = 512
POOL = 40_000  # people drawn at a time; each is used REUSE times under fresh noise
REUSE = 3
SAVE_EVERY = 500  # steps
HELD_OUT = 1500  # people, for each kind of score
# expected errors in metres, across and along the ray, at which a lifter is scored
NOISE = {"exact": (0.015, 0.06), "sharp": (0.02, 0.15), "usual": (0.05, 0.15), "rough": (0.12, 0.2)}
# Their rotation hardly shows in the positions of joints.
END_JOINTS = [JOINT[f"{side}_{part}"] for part in ("foot", "wrist", "hand") for side in SIDES]


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
        miss = across_rays(stage.joints - truth, people.joints)
        terms = {
            "rotation": 2 * ((stage.rotations - people.rotations).abs().mean((-1, -2)) * weight).mean(),
            "raw": 3 * ((stage.raw - columns).square().mean(-1) * weight).mean(),
            "root": (stage.rotations[:, 0] - people.rotations[:, 0]).abs().mean(),
            "body_joints": 6 * (in_body - truth).abs().mean(),
            "joints": 4 * (stage.joints - truth).abs().mean(),
            "pixels": 4 * (miss - miss.mean(1, keepdim=True)).abs().mean(),
        }
        for name, value in terms.items():
            total[name] = total.get(name, torch.zeros(())) + share * value
    return total


def across_rays(error: Tensor, joints: Tensor) -> Tensor:
    """The part of errors of joints that shows in the picture: metres right and down [N, J, 2] at the joints' depths."""
    return error[..., :2] - joints[..., :2] / joints[..., 2:].clamp(min=0.3) * error[..., 2:]


@torch.no_grad()
def score(lifter: Lifter, people: People, across: float, along: float) -> dict[str, float]:
    """Errors when pixels are off by `across` and depths by `along` metres: MPJPE (mm, pelvis aligned), PA-MPJPE (mm),
    what of the MPJPE shows in the picture once the body is shifted (mm), and the median of orientations (degrees)."""
    lifted = lifter(*simulate(people, across, along))[-1]
    truth = people.joints - people.joints[:, :1]
    wrong = lifted.joints - truth
    miss = across_rays(wrong, people.joints)
    aligned = procrustes_distance(lifted.joints.numpy(), truth.numpy())
    trace = (lifted.rotations[:, 0] * people.rotations[:, 0]).sum((-1, -2))
    return {
        "mpjpe": 1000 * wrong.norm(dim=-1).mean().item(),
        "pa_mpjpe": 1000 * float(aligned.mean()),
        "pixels": 1000 * (miss - miss.mean(1, keepdim=True)).norm(dim=-1).mean().item(),
        "orientation": torch.rad2deg(((trace - 1) / 2).clamp(-1, 1).acos()).median().item(),
    }


def scores(lifter: Lifter, people: dict[str, People]) -> dict[str, float]:
    """`score` of every kind of people at every noise."""
    torch.manual_seed(0)  # the same noise each time
    return {
        f"{kind}.{noise}.{name}": value
        for kind, group in people.items()
        for noise, (across, along) in NOISE.items()
        for name, value in score(lifter, group, across, along).items()
    }


def train_lifter(
    config: ModelConfig, out: Path, *, steps: int, learning_rate_peak: float = 1e-3, seed: int = 0,
    body: Body | None = None, init: Path | None = None,
) -> None:  # fmt: skip
    """Trains for `steps` batches of 512 people, resuming from `out` where it exists, and saves the averaged weights there.

    People are of `body`, the free one when None; UserError where `out` is of another. A fresh lifter starts from the
    weights of another file, `init`.
    What is random in a step follows from the seed and the step alone, as in train.py.
    """
    torch.manual_seed(seed)
    source = load_body() if body is None else body
    layer = BodyLayer(source)
    lifter = Lifter(config, layer)
    held_out = {"val": draw(source, 10**6, HELD_OUT), "wide": draw_widely(layer, source, 10**6, HELD_OUT)}
    lifter.mean.copy_(_mean_pose(draw(source, 10**6 + 1, 8000)))
    if init is not None:
        _start_from(lifter, init, source)
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
            pool = draw_widely(layer, source, seed * 10**5 + step - place_in_pool, POOL)
        torch.manual_seed(int(np.random.default_rng([seed, step]).integers(2**62)))
        batch = pool.pick(torch.randint(len(pool), (BATCH,)))
        rate = learning_rate(step / steps, step, peak=learning_rate_peak, warmup=200, decay_from=0.4)
        loss = _learn(lifter, optimiser, batch, layer, rate)
        average.update(lifter, step)
        done = step + 1
        if done % SAVE_EVERY == 0 or done == steps:
            figures = scores(average.network, held_out)
            log.write(step=done, people=done * BATCH, minutes=watch.wall / 60, loss=loss, **figures)
            print(f"lifter {done}/{steps} {watch.cpu:.0f}s loss {loss:.3f}", _in_short(figures), flush=True)
            save(out, {
                "lifter": average.network.state_dict(), "training": lifter.state_dict(),
                "optimiser": optimiser.state_dict(), "body": id_of(source), "step": done, "wall": watch.wall, "cpu": watch.cpu,
            })  # fmt: skip


def _learn(lifter: Lifter, optimiser: torch.optim.Optimizer, batch: People, layer: BodyLayer, rate: float) -> float:
    """One step on simulated observations of a batch. -> the loss before it."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    terms = losses(lifter(*simulate(batch)), batch, layer)
    loss = torch.stack(list(terms.values())).sum()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(lifter.parameters(), 2.0)
    optimiser.step()
    return loss.item()


def _in_short(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in figures.items() if name.endswith((".pa_mpjpe", ".pixels"))}


def _start_from(lifter: Lifter, path: Path, body: Body) -> None:
    state = load(path, "lifter")
    refuse_other_body(path, state.get("body"), body)
    try:
        lifter.load_state_dict(state["lifter"])
    except RuntimeError as error:
        raise UserError(f"expected in {path} a lifter of the sizes of this network: {error}") from error


def _mean_pose(people: People) -> Tensor:
    """Mean 6D rotation per joint; the root's is a correction and starts as none."""
    mean = torch.cat([people.rotations[..., 0], people.rotations[..., 1]], -1).mean(0)
    mean[0] = torch.tensor([1.0, 0, 0, 0, 1, 0])
    return mean
