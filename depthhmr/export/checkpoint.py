"""The network of a training run, from its folder or from a checkpoint file alone."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bodykit.body import Body
from bodykit.errors import UserError
from depthhmr.body_id import refuse_other_body
from depthhmr.data.shards import SHARD
from depthhmr.network.checkpoints import load
from depthhmr.network.config import ModelConfig
from depthhmr.network.model import DepthHMR, build_model
from depthhmr.network.skinning import BodyLayer

KEYS = ("model", "config", "images")
DEFAULT_THRESHOLD = 0.4  # without a validation


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network, and the facts of its run."""

    network: DepthHMR  # in evaluation mode, with the averaged weights
    config: ModelConfig
    threshold: float  # of the best F1 in the last validation
    data: str  # what it was trained on


def read_trained(source: Path, body: Body | None = None) -> Trained:
    """Loads a run folder, or a checkpoint.pt inside or outside of one. UserError for a missing or unknown checkpoint.

    `body` is the one it was trained for, the free one when None; UserError if it was trained for another.
    A lifter.pt beside the checkpoint replaces the checkpoint's own, as it may have been adapted since.
    """
    checkpoint = source / "checkpoint.pt" if source.is_dir() else source
    if not checkpoint.is_file():
        raise UserError(
            f"expected a checkpoint at {checkpoint}, found none; run `depthhmr train --run {checkpoint.parent}` first"
        )
    state, layer = load(checkpoint, *KEYS), BodyLayer(body)
    refuse_other_body(checkpoint, state.get("body"), layer)
    try:
        config = ModelConfig.from_dict(state["config"])
        network = build_model(config, layer).eval()
        network.load_state_dict(state["model"])
        lifter = checkpoint.with_name("lifter.pt")
        if lifter.is_file():
            newer = load(lifter, "lifter")
            refuse_other_body(lifter, newer.get("body"), layer)
            network.lifter.load_state_dict(newer["lifter"])
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        lines = str(error).splitlines() or [""]
        raise UserError(
            f"{checkpoint} holds a network that this version does not know: {' '.join(lines)[:300]}"
        ) from error
    last = _last_validation(checkpoint.with_name("log.jsonl"))
    return Trained(network, config, last.get("val.threshold", DEFAULT_THRESHOLD), _data(state, checkpoint.parent))


def _last_validation(log: Path) -> dict[str, float]:
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    validated = [line for line in lines if "val.f1" in line]
    return validated[-1] if validated else {}


def _data(state: dict[str, Any], run: Path) -> str:
    """The training data in words, with photographs if the run lists the sources it mixed."""
    path = run / "run.json"
    settings = json.loads(path.read_text()) if path.is_file() else {}
    views = state["images"] + state.get("images_before", 0)
    rendered = f"{views} views of images rendered by depthhmr.synth (train split, shards of {SHARD} seeds)"
    if drops := settings.get("backdrops"):
        rendered += f", {drops['share']:.0%} of the places photographs (sha256 {drops['sha256'][:12]})"
    if "mix" not in settings:
        return rendered
    shares = [f"{share:.0%} of them from {Path(folder).name}" for folder, share in settings["mix"]]
    return f"{rendered}; {', '.join(shares) or 'no photographs'}"
