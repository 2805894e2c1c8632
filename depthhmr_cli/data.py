"""Other people's labelled pictures: turn a data set into training shards.

examples:
  depthhmr data pack lsp lspet_train --out shards/lspet --size 192
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bodykit.errors import UserError

if TYPE_CHECKING:
    from depthhmr.data.picture import Picture

HELP = "turn labelled pictures of many formats into training shards"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    pack = actions.add_parser("pack", help="write a data set as shards of fixed-size pictures")
    pack.add_argument("format", choices=tuple(READERS), help="how the source is labelled")
    pack.add_argument("source", type=Path, help="folder or file of the data set")
    pack.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new folder for the shards")
    pack.add_argument("--size", type=int, default=192, help="side of the pictures in pixels (default: %(default)s)")
    pack.add_argument("--seed", type=int, default=0, help="of the order of the pictures (default: %(default)s)")
    pack.add_argument("--limit", type=int, metavar="N", help="pack the first N pictures only")
    pack.set_defaults(action=run_pack)


def run(args: argparse.Namespace) -> int:
    return args.action(args)


def run_pack(args: argparse.Namespace) -> int:
    from itertools import islice

    from depthhmr.data.pack import pack

    if not 32 <= args.size <= 2048:
        raise UserError(f"expected --size between 32 and 2048 pixels, got {args.size}")
    if args.limit is not None and args.limit < 1:
        raise UserError(f"expected --limit of at least 1 picture, got {args.limit}")
    pictures = list(islice(READERS[args.format](args), args.limit))
    packed = pack(pictures, args.out, size=args.size, seed=args.seed, progress=True)
    left_out = f" ({packed.left_out} more left out: too many in one picture)" if packed.left_out else ""
    print(
        f"data: wrote {packed.pictures} pictures of {args.size} x {args.size} pixels with {packed.people} people"
        f"{left_out} into {packed.shards} shards under {args.out}"
    )
    return 0


def read_lsp(args: argparse.Namespace) -> "Iterator[Picture]":
    from depthhmr.data import lsp

    return lsp.read(args.source)


READERS: "dict[str, Callable[[argparse.Namespace], Iterator[Picture]]]" = {"lsp": read_lsp}
