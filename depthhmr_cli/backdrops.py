"""The options `--backdrops` and `--backdrop-share` of the commands that render people. Not a command."""

import argparse
from pathlib import Path

from bodykit.errors import UserError

SHARE = 0.5


def add_backdrops(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backdrops", type=Path, metavar="DIR",
        help="photographs without people that become the places of a share of the pictures",
    )  # fmt: skip
    parser.add_argument(
        "--backdrop-share",
        type=float,
        metavar="SHARE",
        help=f"share of the pictures with a backdrop (default: {SHARE})",
    )


def backdrops_of(args: argparse.Namespace) -> tuple[Path, float] | None:
    """The given folder and share, if any. UserError for a share without a folder."""
    if args.backdrops is None:
        if args.backdrop_share is not None:
            raise UserError(f"expected --backdrops DIR with --backdrop-share {args.backdrop_share:g}, got none")
        return None
    share = SHARE if args.backdrop_share is None else args.backdrop_share
    if not 0 < share <= 1:
        raise UserError(f"expected --backdrop-share above 0 and at most 1, got {share:g}")
    return args.backdrops, share
