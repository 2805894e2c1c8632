"""Trains the network with and without each part of the paper's claim on the same data, and reports which claims hold.

examples:
  depthhmr ablation --budget 7168                       the tables of docs/ablation.md; start it again to resume
  depthhmr ablation --network tiny --size 160 --budget 400000 --shards 120 --run runs/state/ablation-tiny
                                                        the same question for the full default network
"""

import argparse
import json
from pathlib import Path

HELP = (
    "test the paper's claim: train every variant of the network on the same data and compare; resumes where it was cut"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--run", type=Path, default=Path("runs/state/ablation"), help="folder of the runs (default: %(default)s)"
    )
    parser.add_argument("--budget", type=int, default=7168, metavar="IMAGES", help="per network (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="networks of each variant (default: %(default)s)")
    parser.add_argument("--network", default="half", help="half (default: a small one for two cores) or tiny")
    parser.add_argument(
        "--size", type=int, default=96, help="side of the network input in pixels (default: %(default)s)"
    )
    parser.add_argument(
        "--shards", type=int, default=12, help="rendered shards of 512 samples that all share (default: %(default)s)"
    )
    parser.add_argument(
        "--held-out",
        type=int,
        default=800,
        metavar="N",
        help="pictures of the val split to score (default: %(default)s)",
    )
    parser.add_argument("--lifter", type=Path, metavar="FILE", help="a trained lifter.pt (default: train one)")
    parser.add_argument(
        "--lifter-steps", type=int, default=6000, help="batches of 512 people for the lifter (default: %(default)s)"
    )
    parser.add_argument(
        "--bf16", action=argparse.BooleanOptionalAction, default=False, help="bfloat16 where it is safe"
    )


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    import torch

    from bodykit.errors import UserError
    from depthhmr.ablation.ablation import Plan, results, run_all
    from depthhmr.ablation.ablation_dots import draw_dots
    from depthhmr.ablation.ablation_page import MEASURES, spread, tables
    from depthhmr.ablation.variants import NETWORKS

    if args.network not in NETWORKS:
        raise UserError(f"expected --network out of {', '.join(NETWORKS)}, got {args.network!r}")
    if args.size < 64 or args.size % 16:
        raise UserError(f"expected --size to be a multiple of 16 and at least 64, got {args.size}")
    plan = Plan(
        folder=args.run, network=replace(NETWORKS[args.network], size=args.size), budget=args.budget, seeds=args.seeds,
        shards=args.shards, held_out=args.held_out, lifter=args.lifter, lifter_steps=args.lifter_steps, bf16=args.bf16,
    )  # fmt: skip
    torch.set_num_threads(1)
    for result in run_all(plan):
        read = {measure: measure.read(result) for measure in MEASURES}
        figures = ", ".join(f"{m.title} {spread([] if x is None else [x], m.digits)}" for m, x in read.items())
        print(f"{result['variant']}, seed {result['seed']}: {figures}", flush=True)
        finished = results(plan)
        page = f"# Ablation\n\n`{args.command_line}`\n\n![One dot per network](ablation.png)\n\n{tables(finished)}"
        (plan.folder / "ablation.json").write_text(json.dumps(finished, indent=1) + "\n")
        (plan.folder / "ablation.md").write_text(page)
        draw_dots(finished, plan.folder / "ablation.png")
    print(f"the tables are in {plan.folder / 'ablation.md'}")
    return 0
