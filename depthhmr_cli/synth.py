"""Synthetic people: shows them, writes them as files, measures the speed of rendering.

examples:
  depthhmr synth --sheet sheet.png
  depthhmr synth --out people --count 500 --split val
  depthhmr synth --bench
  depthhmr synth --sheet sheet.png --backdrops holiday/empty     before photographs without people
"""

import argparse
import time
from pathlib import Path

from bodykit.errors import UserError
from depthhmr_cli.backdrops import add_backdrops, backdrops_of

HELP = "make pictures of synthetic people with everything known about them"
SUFFIXES = (".png", ".jpg", ".jpeg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--sheet", type=Path, metavar="FILE", help="write a contact sheet (.png or .jpg)")
    action.add_argument("--out", type=Path, metavar="DIR", help="write pictures, maps and annotations into a folder")
    action.add_argument("--bench", action="store_true", help="print how many pictures one core makes per second")
    parser.add_argument("--count", type=int, help="pictures (default: 24 on a sheet, 100 otherwise)")
    parser.add_argument("--split", choices=("train", "val", "test"), default="train", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="number of the first picture in its split (default: 0)")
    parser.add_argument("--size", type=int, default=192, help="side of the pictures in pixels (default: %(default)s)")
    parser.add_argument("--body", type=Path, help="body file (default: the free body of the package)")
    add_backdrops(parser)
    parser.add_argument("--plain", action="store_true", help="contact sheet without rows of labels")


def run(args: argparse.Namespace) -> int:
    from bodykit.body import load_body
    from depthhmr.synth.backdrops import Backdrops
    from depthhmr.synth.dataset import write_dataset
    from depthhmr.synth.scene import Generator
    from depthhmr.synth.sheet import contact_sheet
    from depthhmr.synth.splits import seeds_of

    if args.sheet and args.sheet.suffix.lower() not in SUFFIXES:
        raise UserError(f"cannot write a picture named {args.sheet}; expected a name that ends in .png or .jpg")
    if not 32 <= args.size <= 2048:
        raise UserError(f"expected --size between 32 and 2048 pixels, got {args.size}")
    count = args.count if args.count is not None else (24 if args.sheet else 100)
    seeds = seeds_of(args.split, count, start=args.seed)
    asked = backdrops_of(args)
    backdrops = None if asked is None else Backdrops(*asked)
    generator = Generator(load_body(args.body), args.size, backdrops=backdrops)
    if backdrops is not None:
        print(
            f"synth: {len(backdrops.names)} photographs of {args.backdrops} behind {backdrops.share:.0%} of the pictures"
        )
    if args.sheet:
        args.sheet.parent.mkdir(parents=True, exist_ok=True)
        sheet = contact_sheet([generator.sample(seed) for seed in seeds], labels=not args.plain)
        sheet.save(args.sheet, quality=88)
        print(f"synth: wrote {args.sheet}, {sheet.width} x {sheet.height} pixels")
    elif args.out:
        written = write_dataset(generator, seeds, args.out)
        print(f"synth: wrote {written} pictures of {args.size} x {args.size} pixels into {args.out}")
    else:
        generator.sample(seeds[0])  # compiles, or loads compiled code
        begin = time.process_time()
        people = sum(generator.sample(seed).people for seed in seeds)
        seconds = time.process_time() - begin
        print(
            f"synth: {count / seconds:.0f} pictures per second of processor time at {args.size} x {args.size} "
            f"({count} pictures, {people / count:.1f} people each, {1000 * seconds / count:.1f} ms per picture)"
        )
    return 0
