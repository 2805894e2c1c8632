"""Labelled pictures: turns a data set into training shards, and makes human-only depth maps for them.

examples:
  depthhmr data pack lsp lspet_train --out shards/lspet --size 192
  depthhmr data pack lsp lspet_train --teacher lspet_train_teacher.npz --out shards/lspet --size 224
  depthhmr data pack taught people_teacher.npz --images people_train/images --out shards/people --size 224
  depthhmr data pack coco person_keypoints_train2017.json --images train2017 --out shards/coco
  depthhmr data pack agora SMPL --images agora --fits agora --out shards/agora
  depthhmr data pack bedlam all_npz_12_smpl_training --images bedlam --smpl smpl_neutral.npz --out shards/bedlam
  depthhmr data pack 3dpw 3DPW/sequenceFiles/train --images 3DPW/imageFiles --every 5 --out shards/3dpw
  depthhmr data pack own people.jsonl --out shards/own
  depthhmr data depth shards/agora --depth-maps depth-anything --picture before-and-after.jpg
  depthhmr data rehearse --picture dah.jpg
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bodykit.errors import UserError

if TYPE_CHECKING:
    from bodykit.body import Body
    from depthhmr.data.body_transfer import BodyTransfer
    from depthhmr.data.dah_sheet import Shown
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
    pack.add_argument("--images", type=Path, metavar="FOLDER", help="where the pictures lie (default: at the source)")
    pack.add_argument(
        "--every", type=int, default=DEFAULTS["every"], metavar="N", help="3dpw, bedlam: every Nth frame only"
    )
    pack.add_argument("--fits", type=Path, metavar="FOLDER", help="agora: what gt_path_smpl starts from")
    pack.add_argument(
        "--teacher", type=Path, metavar="FILE", help="lsp: labels of another network (depthhmr/data/teacher.py)"
    )
    pack.add_argument("--body", type=Path, help="body file of the network (default: the free body of the package)")
    pack.add_argument("--smpl", type=Path, metavar="FILE", help="agora, bedlam: your SMPL (depthhmr body import)")
    pack.add_argument(
        "--kid-template", type=Path, metavar="FILE", help="agora: smpl_kid_template.npy, for children beside --smpl"
    )
    pack.add_argument(
        "--tolerance-mm",
        type=float,
        default=DEFAULTS["tolerance_mm"],
        help="of limb joints, for SMPL on another body (default: %(default)g)",
    )
    pack.add_argument("--with-empty", action="store_true", help="coco: pictures without any annotation, too")
    pack.add_argument("--everyone", action="store_true", help="own: everyone is listed, where a line does not say")
    pack.add_argument("--metric", action="store_true", help="own: depths are true metres, where a line does not say")
    pack.set_defaults(run_action=run_pack)
    depth = actions.add_parser("depth", help="make human-only depth maps of packed people in 3D")
    depth.add_argument("shards", type=Path, help="folder that `depthhmr data pack` wrote")
    depth.add_argument(
        "--depth-maps", type=Path, metavar="FOLDER", help="monocular maps (NAME.npy or .png) to refine with"
    )
    depth.add_argument(
        "--kind", choices=("inverse", "distance"), default="inverse",
        help="whether the maps grow towards the camera or away from it (default: %(default)s)",
    )  # fmt: skip
    depth.add_argument("--body", type=Path, help="body file the shards were packed for (default: the free body)")
    depth.add_argument("--again", action="store_true", help="also where a depth map is known already")
    depth.set_defaults(run_action=run_depth)
    rehearse = actions.add_parser("rehearse", help="the same on rendered people, whose true depth is known")
    rehearse.add_argument("--count", type=int, default=60, help="pictures to measure on (default: %(default)s)")
    rehearse.add_argument("--size", type=int, default=192, help="side of the pictures in pixels (default: %(default)s)")
    rehearse.set_defaults(run_action=run_rehearse)
    for action in (depth, rehearse):
        action.add_argument("--picture", type=Path, metavar="FILE", help="write the first pictures before and after")
        action.add_argument("--rows", type=int, default=5, help="pictures in that file (default: %(default)s)")
        action.add_argument("--stride", type=int, default=8, help="of the cells in it, pixels (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    return args.run_action(args)


def run_pack(args: argparse.Namespace) -> int:
    from itertools import islice

    from bodykit.body import load_body
    from depthhmr.data.pack import pack

    if not 32 <= args.size <= 2048:
        raise UserError(f"expected --size between 32 and 2048 pixels, got {args.size}")
    for name in ("limit", "every"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UserError(f"expected --{name} of at least 1, got {getattr(args, name)}")
    if not args.source.exists():
        raise UserError(f"there is no {args.source}; expected the data set's folder or file")
    check_options(args)
    pictures = islice(READERS[args.format](args), args.limit)
    packed = pack(
        pictures, args.out, size=args.size, seed=args.seed, progress=True, body=load_body(args.body)
    )  # fmt: skip
    left_out = f" ({packed.left_out} more left out: too many in one picture)" if packed.left_out else ""
    print(
        f"data: wrote {packed.pictures} pictures of {args.size} x {args.size} pixels with {packed.people} people"
        f"{left_out}, {packed.posed} of them in 3D, into {packed.shards} shards under {args.out}"
    )
    return 0


def check_options(args: argparse.Namespace) -> None:
    """UserError for an option that the format does not have, instead of silently ignoring it."""
    for name in sorted({name for names in OPTIONS.values() for name in names} - set(OPTIONS[args.format])):
        default = DEFAULTS.get(name)
        if getattr(args, name) not in (default, False):
            takes = " ".join(f"--{known.replace('_', '-')}" for known in OPTIONS[args.format])
            flag = name.replace("_", "-")
            raise UserError(
                f"{args.format} has no --{flag}; expected {takes or 'none of the options of single formats'}"
            )


def run_depth(args: argparse.Namespace) -> int:
    from bodykit.body import load_body
    from depthhmr.data.depth_targets import DepthMaps, make_targets

    check_picture(args)
    maps = DepthMaps(args.depth_maps) if args.depth_maps else None
    show = args.rows if args.picture else 0
    tally = make_targets(
        args.shards, load_body(args.body), maps, inverse=args.kind == "inverse", again=args.again, show=show, progress=True
    )  # fmt: skip
    print(
        f"data: made {tally.made} depth maps of {tally.people} people; {tally.kept} pictures had one, and of "
        f"{tally.unknown} not everyone is known in 3D"
    )
    if maps:
        print(
            f"data: {tally.made - tally.without_map} pictures have a monocular map, {tally.rejected} of these show nothing "
            f"of the people; {tally.trusted} people agree with theirs"
        )
    if args.picture:
        write_sheet(args, tally.rows)
    return 0


def run_rehearse(args: argparse.Namespace) -> int:
    from bodykit.body import load_body
    from depthhmr.data.dah_sheet import rehearse
    from depthhmr.synth.splits import seeds_of

    check_picture(args)
    if not 32 <= args.size <= 2048:
        raise UserError(f"expected --size between 32 and 2048 pixels, got {args.size}")
    rows, scores = rehearse(load_body(), seeds_of("val", args.count), args.size)
    print(f"data: {len(rows)} pictures with people")
    for name, score in scores.items():
        print(f"  {name:28}overlap with the true masks {score.overlap:.3f}, error inside {100 * score.error_m:.1f} cm")
    if args.picture:
        write_sheet(args, rows[: args.rows])
    return 0


def check_picture(args: argparse.Namespace) -> None:
    if args.picture and args.picture.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"cannot write a picture named {args.picture}; expected a name that ends in .png or .jpg")
    if args.rows < 1:
        raise UserError(f"expected --rows of at least 1, got {args.rows}")


def write_sheet(args: argparse.Namespace, rows: "list[Shown]") -> None:
    from depthhmr.data.dah_sheet import sheet

    if not rows:
        raise UserError("there is nothing to show: no depth map was made")
    size = rows[0].rgb.shape[0]
    if args.stride < 1 or size % args.stride:
        raise UserError(f"expected a --stride that divides {size} pixels, got {args.stride}")
    args.picture.parent.mkdir(parents=True, exist_ok=True)
    sheet(rows, args.stride).save(args.picture, quality=88)
    print(f"data: wrote {args.picture}")


def read_lsp(args: argparse.Namespace) -> "Iterator[Picture]":
    from depthhmr.data import lsp, teacher

    return lsp.read(args.source) if args.teacher is None else teacher.read_lsp_with(args.source, args.teacher)


def read_taught(args: argparse.Namespace) -> "Iterator[Picture]":
    from depthhmr.data import teacher

    return teacher.read(args.source, args.images or args.source.parent)


def read_coco(args: argparse.Namespace) -> "Iterator[Picture]":
    from depthhmr.data import coco

    return coco.read(args.source, args.images or args.source.parent, with_empty=args.with_empty)


def read_relative_human(args: argparse.Namespace) -> "Iterator[Picture]":
    from depthhmr.data import relative_human

    return relative_human.read(args.source, args.images or args.source.parent / "images")


def read_agora(args: argparse.Namespace) -> "Iterator[Picture]":
    from depthhmr.data import agora
    from depthhmr_cli.dataset_evaluation import kid_template_of

    folder = args.source if args.source.is_dir() else args.source.parent
    images, fits, template = args.images or folder, args.fits or folder, kid_template_of(args)
    return agora.read(args.source, images, fits, transfer_of(args), smpl_of(args), kid_template=template)


def read_bedlam(args: argparse.Namespace) -> "Iterator[Picture]":
    from depthhmr.data import bedlam

    folder = args.source if args.source.is_dir() else args.source.parent
    return bedlam.read(args.source, args.images or folder, transfer_of(args), smpl_of(args), every=args.every)


def read_3dpw(args: argparse.Namespace) -> "Iterator[Picture]":
    from depthhmr.data import pw3d

    if args.images is None:
        raise UserError("expected --images with 3DPW's folder imageFiles")
    return pw3d.read(args.source, args.images, transfer_of(args), every=args.every)


def read_own(args: argparse.Namespace) -> "Iterator[Picture]":
    from bodykit.body import load_body
    from depthhmr.data import own

    return own.read(args.source, load_body(args.body), everyone=args.everyone, metric=args.metric)


def read_nobody(args: argparse.Namespace) -> "Iterator[Picture]":
    from depthhmr.data import people_free

    return people_free.read(args.source)


def transfer_of(args: argparse.Namespace) -> "BodyTransfer":
    from bodykit.body import load_body
    from depthhmr.data.body_transfer import BodyTransfer

    if not args.tolerance_mm > 0:
        raise UserError(f"expected --tolerance-mm above 0, got {args.tolerance_mm}")
    return BodyTransfer(load_body(args.body), args.tolerance_mm / 1000)


def smpl_of(args: argparse.Namespace) -> "Body | None":
    from bodykit.body import load_body

    return load_body(args.smpl) if args.smpl else None


READERS: "dict[str, Callable[[argparse.Namespace], Iterator[Picture]]]" = {
    "agora": read_agora,
    "bedlam": read_bedlam,
    "3dpw": read_3dpw,
    "coco": read_coco,
    "lsp": read_lsp,
    "taught": read_taught,
    "relative-human": read_relative_human,
    "own": read_own,
    "nobody": read_nobody,
}
OPTIONS = {
    "agora": ("images", "fits", "smpl", "kid_template", "body", "tolerance_mm"),
    "bedlam": ("images", "smpl", "every", "body", "tolerance_mm"),
    "3dpw": ("images", "every", "body", "tolerance_mm"),
    "coco": ("images", "with_empty"),
    "lsp": ("teacher",),
    "taught": ("images",),
    "relative-human": ("images",),
    "own": ("body", "everyone", "metric"),
    "nobody": (),
}
DEFAULTS = {"every": 1, "tolerance_mm": 40.0}
