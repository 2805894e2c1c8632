"""`depthhmr export`: a checkpoint to model.onnx and manifest.json, checked against PyTorch before it says success."""

import argparse
import json
from pathlib import Path
from typing import Any

HELP = "turn a training run into the model folder that the service serves"
EXAMPLE = """example:
  depthhmr export --run runs/state/tiny --model-dir model_repository/depthhmr --threshold 0.35
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--run", type=Path, default=Path("runs/state/tiny"), help="folder of the run (default: %(default)s)"
    )
    parser.add_argument(
        "--model-dir", type=Path, default=Path("model_repository/depthhmr"), help="default: %(default)s"
    )
    parser.add_argument(
        "--threshold", type=float, help="score from which a person is reported (default: validation's best)"
    )
    parser.add_argument("--version", default="1", help="version written to the manifest (default: %(default)s)")
    parser.add_argument("--scores", type=Path, help="JSON of `depthhmr evaluate` whose figures go into the manifest")


def run(args: argparse.Namespace) -> int:
    import torch

    from bodykit.errors import UserError
    from depthhmr.config import ModelConfig
    from depthhmr.export import write_model_folder
    from depthhmr.model import build_model
    from depthhmr.shards import SHARD

    checkpoint = args.run / "checkpoint.pt"
    if not checkpoint.is_file():
        raise UserError(
            f"expected a checkpoint at {checkpoint}, found none; run `depthhmr train --run {args.run}` first"
        )
    state = torch.load(checkpoint, weights_only=True)
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in state["config"].items()}
    config = ModelConfig(**values)
    network = build_model(config).eval()
    network.load_state_dict(state["model"])
    lifter = torch.load(args.run / "lifter.pt", weights_only=True)  # may have been adapted since the checkpoint
    network.lifter.load_state_dict(lifter["lifter"])
    last = _last_validation(args.run / "log.jsonl")
    threshold = args.threshold if args.threshold is not None else last.get("val.threshold", 0.4)
    scores = json.loads(args.scores.read_text()) if args.scores else {}
    kept = {k: round(v, 4) for k, v in scores.items() if isinstance(v, int | float)}
    data = (
        f"{state['images']} views of images rendered by depthhmr.synth (train split, shards of {SHARD} seeds); "
        "no photographs"
    )
    graph = write_model_folder(
        network, config, args.model_dir, version=args.version, threshold=threshold, data=data, scores=kept
    )
    print(f"wrote {graph} ({graph.stat().st_size / 1e6:.1f} MB), PyTorch and ONNX Runtime agree at batch 1 and 3")
    return 0


def _last_validation(log: Path) -> dict[str, float]:
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    validated = [line for line in lines if "val.f1" in line]
    return validated[-1] if validated else {}
