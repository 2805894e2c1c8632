"""`depthhmr train`: the lifter first (no images), then the network on rendered people. Start it again to resume."""

import argparse
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from bodykit.errors import UserError
from depthhmr_cli.backdrops import add_backdrops, backdrops_of

if TYPE_CHECKING:
    from depthhmr.network.config import ModelConfig
    from depthhmr.training.train import Run

HELP = "train a network on synthetic people; resumes where it was cut"
EXAMPLE = """example:
  depthhmr train --preset tiny --run runs/state/tiny --images 400000 --workers 2
  depthhmr export --run runs/state/tiny        (turns its best weights into the served model)
  depthhmr train --run runs/state/more --init model_repository/depthhmr     (trains the served model on)
  depthhmr train --preset small --run runs/state/small --backbone-weights dinov2_vits14_pretrain.pth
  depthhmr train --run runs/state/places --init model_repository/depthhmr --backdrops holiday/empty
  torchrun --nproc-per-node 8 -m -- depthhmr_cli train --preset small --run runs/state/small --backbone-weights FILE
"""


SCHEDULE: tuple[tuple[str, type, str], ...] = (
    ("--images", int, "length of the schedule"),
    ("--batch", int, "images per process and step"),
    ("--learning-rate", float, "peak rate"),
    ("--backbone-rate", float, "share of the rate for the last block of a DINOv2 backbone"),
    ("--layer-decay", float, "how much less each block nearer to the image learns than the one behind it"),
    ("--decay-from", float, "share of the schedule at full rate"),
    ("--validate-every", int, "images between validations"),
    ("--validate-on", int, "images of the validation split"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--preset", default="tiny", help="tiny (default), small or base")
    parser.add_argument(
        "--run", type=Path, default=Path("runs/state/tiny"), help="folder of the run (default: %(default)s)"
    )
    parser.add_argument("--size", type=int, help="side of the network input in pixels (default: the preset's)")
    for flag, kind, text in SCHEDULE:
        parser.add_argument(flag, type=kind, help=f"{text} (default: the preset's)")
    parser.add_argument(
        "--lifter-steps", type=int, default=6000, help="batches of 512 people for the lifter (default: %(default)s)"
    )
    parser.add_argument(
        "--lifter-init",
        type=Path,
        metavar="FILE",
        help="lifter.pt of another run, whose weights a fresh lifter starts from",
    )
    parser.add_argument("--workers", type=int, default=1, help="processes that share each step (default: %(default)s)")
    parser.add_argument("--renderers", type=int, default=1, help="processes that render samples (default: %(default)s)")
    parser.add_argument(
        "--render-size", type=int, default=192, help="pixels of rendered samples (default: %(default)s)"
    )
    parser.add_argument("--shards", type=int, default=120, help="cached shards of 512 samples (default: %(default)s)")
    parser.add_argument(
        "--first-shards", type=int, default=8, help="shards to wait for at the start (default: %(default)s)"
    )
    parser.add_argument(
        "--adapt-lifter", type=int, default=0, metavar="IMAGES",
        help="after training, adapt the lifter to the network's reports on this many images (5000 suffice)",
    )  # fmt: skip
    parser.add_argument(
        "--mix", action="append", default=[], metavar="FOLDER=SHARE",
        help="so much of all samples out of a folder of other shards, of `depthhmr data pack`; may be repeated",
    )  # fmt: skip
    add_backdrops(parser)
    parser.add_argument(
        "--body", type=Path, help="body file that people are of (default: the free body of the package)"
    )
    parser.add_argument("--init", type=Path, help="checkpoint or model folder whose weights a fresh run starts from")
    parser.add_argument(
        "--backbone-weights", type=Path, metavar="FILE",
        help="published weights that a fresh run starts from: of scripts/install-movenet for tiny, "
        "DINOv2 (.pth or .safetensors) for small and base",
    )  # fmt: skip
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU where there is one"
    )
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True, help="bfloat16 where it is safe")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--rehearse", action="store_true", help="three steps that write nothing: does it run here, in what memory?"
    )


def run(args: argparse.Namespace) -> int:
    import torch

    from bodykit.body import load_body
    from depthhmr.training.adapt_lifter import adapt_run
    from depthhmr.training.distributed import barrier, context_from, device_of, process_group
    from depthhmr.training.restore import restored
    from depthhmr.training.train import as_begun, check_start, train, write_settings
    from depthhmr.training.train_lifter import train_lifter

    plan = as_begun(_plan(args))
    if args.rehearse:
        from depthhmr.training.rehearsal import rehearse

        print(
            f"{plan.model.name} at {plan.model.size} pixels, {plan.train.batch} images a step and process: "
            f"{rehearse(plan) / 1024:.1f} GB at most"
        )
        return 0
    check_start(plan)
    context, body = context_from(os.environ), load_body(plan.body)
    torch.set_num_threads(1)
    with process_group(context, device_of(context, args.device)):
        if context.rank == 0:
            write_settings(plan)
            if plan.init is not None and plan.init.is_dir():
                restored(plan.init, plan.folder, body)
            train_lifter(
                plan.model, plan.folder / "lifter.pt",
                steps=args.lifter_steps, seed=args.seed, body=body, init=args.lifter_init,
            )  # fmt: skip
        barrier(context)
        if plan.init is not None and plan.init.is_dir():
            plan = dataclasses.replace(plan, init=restored(plan.init, plan.folder, body))
        train(plan, context)
        if args.adapt_lifter and context.rank == 0:
            figures = adapt_run(
                plan.folder, body, images=args.adapt_lifter, steps=600, min_visible=plan.train.min_visible
            )
            print(figures)
    return 0


def _plan(args: argparse.Namespace) -> "Run":
    """The run for these arguments. UserError for contradictory ones."""
    from bodykit.body import load_body
    from bodykit.manifest import Manifest
    from depthhmr.body_id import refuse_other_body
    from depthhmr.network.checkpoints import load
    from depthhmr.network.config import PRESETS, TRAINING, preset
    from depthhmr.training.state import START
    from depthhmr.training.train import Run

    if args.preset not in PRESETS:
        raise UserError(f"expected --preset out of {', '.join(PRESETS)}, got {args.preset!r}")
    if args.init is not None and not args.init.exists():
        raise UserError(f"expected a checkpoint or a model folder at {args.init}, found none")
    if args.init is not None and args.backbone_weights is not None:
        raise UserError("expected one of --init and --backbone-weights, got both: each says where the backbone starts")
    if args.init is not None:  # before the hours of the lifter
        of_file = args.init.is_file()
        stated = load(args.init, *START).get("body") if of_file else dataclasses.asdict(Manifest.read(args.init).body)
        refuse_other_body(args.init, stated, load_body(args.body))
    try:
        model = preset(args.preset, **({} if args.size is None else {"size": args.size}))
    except ValueError as error:
        raise UserError(str(error)) from None
    if args.backbone_weights is not None:
        model = dataclasses.replace(model, backbone=_backbone(model, args.backbone_weights))
    names = [flag.removeprefix("--").replace("-", "_") for flag, _, _ in SCHEDULE]
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return Run(
        folder=args.run, model=model, train=dataclasses.replace(TRAINING[args.preset], bf16=args.bf16, seed=args.seed, **given),
        render_size=args.render_size, shards=args.shards, first_shards=args.first_shards, renderers=args.renderers,
        workers=args.workers, device=args.device, init=args.init, backbone_weights=args.backbone_weights,
        mix=tuple(_share(text) for text in args.mix), backdrops=backdrops_of(args), body=args.body,
    )  # fmt: skip


def _backbone(model: "ModelConfig", weights: Path) -> str:
    """The backbone of the weights: the preset's, or its variant with registers."""
    from depthhmr.network.dinov2 import architecture_of
    from depthhmr.network.movenet import MoveNetPyramid
    from depthhmr.network.movenet_weights import load_movenet

    if model.backbone == "movenet":
        load_movenet(MoveNetPyramid(), weights)  # refuses other files
        return model.backbone
    if model.backbone == "conv":
        raise UserError(f"expected no --backbone-weights for {model.name!r}: its convolutions start from nothing")
    found = architecture_of(weights)
    if found.removesuffix("_reg") != model.backbone:
        raise UserError(
            f"expected weights of {model.backbone} for --preset {model.name}, {weights} holds those of {found}"
        )
    return found


def _share(text: str) -> tuple[Path, float]:
    folder, _, share = text.rpartition("=")
    try:
        return Path(folder), float(share)
    except ValueError:
        raise UserError(f"expected --mix FOLDER=SHARE with a share like 0.25, got {text!r}") from None
