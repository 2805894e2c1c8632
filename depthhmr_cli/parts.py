"""What each part of a network contributes at inference: zeroed, fed with another picture, or bypassed.

examples:
  depthhmr parts --model-dir model_repository/depthhmr
  depthhmr parts --run runs/state/tiny --split val --count 200
"""

import argparse
from pathlib import Path

from bodykit.errors import UserError

HELP = "switch off each part of a trained network in turn and score what remains"
MEASURES = ("f1", "precision", "recall", "root_median", "mpjpe", "pa_mpjpe", "pcdr")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--model-dir", type=Path, help="model folder")
    source.add_argument("--run", type=Path, help="run folder with a checkpoint")
    parser.add_argument("--split", default="test", help="of rendered pictures (default: %(default)s)")
    parser.add_argument("--count", type=int, default=200, help="pictures to score (default: %(default)s)")
    parser.add_argument("--threshold", type=float, help="of a person's score (default: the one that the folder states)")


def run(args: argparse.Namespace) -> int:
    import torch

    from bodykit.body import load_body
    from bodykit.manifest import Manifest
    from depthhmr.ablation.parts import measure
    from depthhmr.export.checkpoint import read_trained
    from depthhmr.synth.scene import Generator
    from depthhmr.synth.splits import seeds_of
    from depthhmr.training.restore import restore

    torch.set_num_threads(1)
    body = load_body()
    if args.model_dir:
        (network, config), known = restore(args.model_dir, body), Manifest.read(args.model_dir).threshold
    else:
        trained = read_trained(args.run, body)
        network, config, known = trained.network, trained.config, trained.threshold
    threshold = known if args.threshold is None else args.threshold
    if not 0 < threshold < 1:
        raise UserError(f"expected --threshold between 0 and 1, got {threshold}")
    generator = Generator(body, config.size)
    samples = [generator.sample(seed) for seed in seeds_of(args.split, args.count)]
    print("| what | F1 | precision | recall | root, m | MPJPE, mm | PA-MPJPE, mm | PCDR |")
    print("|---|---|---|---|---|---|---|---|")
    for part, scores in measure(network, samples, body, threshold):
        values = [getattr(scores, name) for name in MEASURES]
        shown = [f"{x:.0f}" if "mpjpe" in name else f"{x:.3f}" for name, x in zip(MEASURES, values, strict=True)]
        print(f"| {part.title} | {' | '.join(shown)} |", flush=True)
    return 0
