"""Trains and scores every variant of variants.py on the same samples, in the same order, for the same number of images.

Can be killed at any time and resumed. The folder holds plan.json, shards/, lifter.pt, a run folder and a result.json per
network, and the page of ablation_page.py. Seeds are the outer loop, so an interrupted ablation has trained all variants
equally often, except for the last seed.
"""

import dataclasses
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from bodykit.errors import UserError
from depthhmr.ablation.variants import VARIANTS, Variant
from depthhmr.data.shards import SHARD, render_shard
from depthhmr.evaluation.evaluation import best_threshold, score
from depthhmr.network.config import ModelConfig, TrainConfig
from depthhmr.network.model import build_model
from depthhmr.training.train import Run, train, write_settings
from depthhmr.training.train_lifter import train_lifter
from depthhmr.training.validate import Validation

FIRST_SEED = 5_000_000  # of the training split; the default run renders its own from 0 on
CHOSEN_ON = 200  # pictures of the validation split for the threshold; scores come from those after them
THRESHOLDS = [round(0.1 + 0.02 * step, 2) for step in range(36)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """One ablation."""

    folder: Path
    network: ModelConfig  # the full one
    budget: int  # images that each network is trained on
    seeds: int = 3
    shards: int = 12  # of 512 rendered samples each, shared by all networks
    held_out: int = 600  # pictures of the validation split that are scored
    lifter: Path | None = None  # a trained one of the same sizes; None trains one
    lifter_steps: int = 2000
    bf16: bool = False  # several times slower where a CPU has no instructions for it

    def __post_init__(self) -> None:
        for name in ("budget", "seeds", "shards", "held_out"):
            if getattr(self, name) < 1:
                raise UserError(f"expected {name.replace('_', ' ')} of at least 1, got {getattr(self, name)}")
        if self.lifter is not None and not self.lifter.is_file():
            raise UserError(f"expected a trained lifter at {self.lifter}, found none")


def run_all(plan: Plan) -> Iterator[dict[str, Any]]:
    """Trains and scores what is missing. Yields the result of each network, finished ones immediately."""
    write_plan(plan)
    held_out: Validation | None = None
    for seed in range(plan.seeds):
        for variant in VARIANTS:
            result = folder_of(plan, variant, seed) / "result.json"
            if not result.exists():
                held_out = held_out or prepare(plan)
                train_one(plan, variant, seed)
                partial = result.with_suffix(".partial")
                partial.write_text(json.dumps(score_one(plan, variant, seed, held_out), indent=1) + "\n")
                partial.replace(result)
            yield json.loads(result.read_text())


def prepare(plan: Plan) -> Validation:
    """Prepares what all networks share: training samples and a lifter in the folder, and the pictures to score."""
    for index in range(plan.shards):
        render_shard(shards_of(plan), FIRST_SEED + index * SHARD, SHARD, plan.network.size, whole_depth=True)
    lifter = plan.folder / "lifter.pt"
    if plan.lifter is None:
        train_lifter(plan.network, lifter, steps=plan.lifter_steps)
    elif not lifter.exists():
        shutil.copy(plan.lifter, lifter)
    return Validation.render(plan.network.size, CHOSEN_ON + plan.held_out)


def results(plan: Plan) -> list[dict[str, Any]]:
    """The finished results, in the order of seeds and variants."""
    files = [folder_of(plan, variant, seed) / "result.json" for seed in range(plan.seeds) for variant in VARIANTS]
    return [json.loads(file.read_text()) for file in files if file.exists()]


def folder_of(plan: Plan, variant: Variant, seed: int) -> Path:
    return plan.folder / f"{variant.name}-{seed}"


def shards_of(plan: Plan) -> Path:
    return plan.folder / "shards"


def write_plan(plan: Plan) -> None:
    """plan.json: a resumed ablation must match it, except for additional seeds."""
    path = plan.folder / "plan.json"
    settings = json.loads(json.dumps(dataclasses.asdict(plan), default=str))
    for free in ("folder", "seeds", "lifter", "lifter_steps"):
        del settings[free]
    if path.exists():
        old = json.loads(path.read_text())
        # through ModelConfig: an ablation that is older than a field has its default
        old["network"] = json.loads(json.dumps(dataclasses.asdict(ModelConfig.from_dict(old["network"]))))
        changed = [name for name in settings if old.get(name) != settings[name]]
        if changed:
            raise UserError(f"{plan.folder} holds another ablation: {', '.join(changed)} differ; choose another folder")
    plan.folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=1) + "\n")


def train_one(plan: Plan, variant: Variant, seed: int) -> None:
    """Trains a network, or continues from its checkpoint."""
    folder = folder_of(plan, variant, seed)
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists() and torch.load(checkpoint, weights_only=True)["images"] >= plan.budget:
        return
    folder.mkdir(parents=True, exist_ok=True)
    shards = folder / "shards"
    if not shards.is_symlink():
        shards.symlink_to(Path("..") / shards_of(plan).name)
    shutil.copy(plan.folder / "lifter.pt", folder / "lifter.pt")
    steps = plan.budget // TrainConfig.batch
    settings = TrainConfig(
        images=plan.budget, warmup_steps=min(TrainConfig.warmup_steps, 1 + steps // 10), validate_every=plan.budget,
        validate_on=CHOSEN_ON // 10, depth_target=variant.depth_target, bf16=plan.bf16, seed=seed,
    )  # fmt: skip
    run = Run(
        folder=folder, model=variant.model(plan.network), train=settings, render_size=plan.network.size,
        shards=plan.shards, first_shards=plan.shards, renderers=0,
    )  # fmt: skip
    write_settings(run)
    train(run)


def score_one(plan: Plan, variant: Variant, seed: int, held_out: Validation) -> dict[str, Any]:
    """The scores of a trained network, twice.

    `scores` are at the threshold with as many missed as false people, chosen on other pictures: the same operating point
    for all, while the best F1 lies on a plateau that noise moves. `everyone` takes all queries, so that its errors cover
    nearly all people and do not depend on which were found.
    """
    state = torch.load(folder_of(plan, variant, seed) / "checkpoint.pt", weights_only=True)
    network = build_model(variant.model(plan.network)).eval()
    network.load_state_dict(state["model"])
    predictions = held_out.predictions(network)
    threshold = even_threshold(best_threshold(predictions[:CHOSEN_ON], thresholds=THRESHOLDS)[1])
    scored, body = predictions[CHOSEN_ON:], held_out.body
    parameters = sum(p.numel() for name, p in network.named_parameters() if not name.startswith("lifter."))
    return {
        "variant": variant.name,
        "seed": seed,
        "images": state["images"],
        "cpu_minutes": state["cpu"] / 60,
        "parameters": parameters,  # without the shared lifter
        "scores": score(scored, body, threshold).to_json(),
        "everyone": score(scored, body, 0.0).to_json(),
    }


def even_threshold(rows: Sequence[tuple[float, float, float, float]]) -> float:
    """Of rows (threshold, precision, recall, F1), rising: the lowest threshold at which no more are false than are missed."""
    even = (threshold for threshold, precision, recall, _ in rows if precision >= recall)
    return next(even, rows[-1][0])
