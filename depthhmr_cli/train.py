"""`depthhmr train`: the lifter first (no images), then the network on rendered people. Start it again to resume."""

import argparse
import dataclasses
from pathlib import Path

from bodykit.errors import UserError

HELP = "train a network on synthetic people; resumes where it was cut"
EXAMPLE = """example:
  depthhmr train --preset tiny --run runs/state/tiny --images 400000 --workers 2
  depthhmr export --run runs/state/tiny        (turns its best weights into the served model)
  depthhmr train --run runs/state/more --init model_repository/depthhmr     (trains the served model on)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--preset", default="tiny", help="tiny (default), small or base")
    parser.add_argument(
        "--run", type=Path, default=Path("runs/state/tiny"), help="folder of the run (default: %(default)s)"
    )
    parser.add_argument("--size", type=int, help="side of the network input in pixels (default: the preset's)")
    parser.add_argument("--images", type=int, default=400_000, help="length of the schedule (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="images per worker and step (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=1.2e-3, help="peak rate (default: %(default)s)")
    parser.add_argument(
        "--decay-from", type=float, default=0.7, help="share of the schedule at full rate (default: %(default)s)"
    )
    parser.add_argument(
        "--lifter-steps", type=int, default=6000, help="batches of 512 people for the lifter (default: %(default)s)"
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
        "--validate-every", type=int, default=20_000, help="images between validations (default: %(default)s)"
    )
    parser.add_argument(
        "--validate-on", type=int, default=256, help="images of the validation split (default: %(default)s)"
    )
    parser.add_argument(
        "--adapt-lifter", type=int, default=0, metavar="IMAGES",
        help="after training, train the lifter on with what the network reports on so many images (5000 do)",
    )  # fmt: skip
    parser.add_argument(
        "--mix", action="append", default=[], metavar="FOLDER=SHARE",
        help="so much of all samples out of a folder of other shards, of `depthhmr data pack`; may be repeated",
    )  # fmt: skip
    parser.add_argument("--init", type=Path, help="checkpoint or model folder whose weights a fresh run starts from")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True, help="bfloat16 where it is safe")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    import torch

    from depthhmr.adapt_lifter import adapt_run
    from depthhmr.config import PRESETS, TrainConfig, preset
    from depthhmr.restore import restored
    from depthhmr.train import Run, train, write_settings
    from depthhmr.train_lifter import train_lifter

    if args.preset not in PRESETS:
        raise UserError(f"expected --preset out of {', '.join(PRESETS)}, got {args.preset!r}")
    if args.init is not None and not args.init.exists():
        raise UserError(f"expected a checkpoint or a model folder at {args.init}, found none")
    model = preset(args.preset, **({"size": args.size} if args.size else {}))
    settings = TrainConfig(
        images=args.images, batch=args.batch, learning_rate=args.learning_rate, decay_from=args.decay_from, bf16=args.bf16,
        validate_every=args.validate_every, validate_on=args.validate_on, seed=args.seed,
    )  # fmt: skip
    plan = Run(
        folder=args.run, model=model, train=settings, render_size=args.render_size, shards=args.shards,
        first_shards=args.first_shards, renderers=args.renderers, workers=args.workers, init=args.init,
        mix=tuple(_share(text) for text in args.mix),
    )  # fmt: skip
    write_settings(plan)
    torch.set_num_threads(1)
    if plan.init is not None and plan.init.is_dir():
        plan = dataclasses.replace(plan, init=restored(plan.init, args.run))
    train_lifter(model, args.run / "lifter.pt", steps=args.lifter_steps, seed=args.seed)
    train(plan)
    if args.adapt_lifter:
        print(adapt_run(args.run, images=args.adapt_lifter, steps=600, min_visible=settings.min_visible))
    return 0


def _share(text: str) -> tuple[Path, float]:
    folder, _, share = text.rpartition("=")
    try:
        return Path(folder), float(share)
    except ValueError:
        raise UserError(f"expected --mix FOLDER=SHARE with a share like 0.25, got {text!r}") from None
