"""Turns a training run into the model folder that the service serves.

A short form of `depthhmr import RUN`: the same checks, reported only if one fails, and by default into the folder that the
service serves by default.

example:
  depthhmr export --run runs/state/tiny --model-dir model_repository/depthhmr --threshold 0.35
  depthhmr export --run runs/state/photos --blend model_repository/depthhmr=0.5     (half-way from the served model)
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bodykit.errors import UserError

if TYPE_CHECKING:
    from bodykit.body import Body
    from depthhmr.network.model import DepthHMR

HELP = "turn a training run into the served model folder: import in one line, its checks told only when they fail"


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument(
        "--scores",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="JSON of `depthhmr evaluate` whose figures go into the manifest",
    )
    parser.add_argument("--data", help="what the manifest says of the training data (default: what the run knows)")
    parser.add_argument("--body", type=Path, help="body file of the run (default: the service's, else the free body)")
    parser.add_argument(
        "--blend", metavar="FOLDER=SHARE",
        help="go only this share of the way from the model folder that the run was begun with (train --init)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    from bodykit.body import load_body
    from depthhmr.export.checkpoint import read_trained
    from depthhmr.export.export import export_network
    from depthhmr.export.folder import Facts, read_scores
    from service.settings import load_settings

    body = load_body(args.body or load_settings({}).body)
    trained = read_trained(args.run, body)
    network = trained.network if args.blend is None else _blended(trained.network, args.blend, body)
    facts = Facts(
        version=args.version,
        preset=trained.config.name,
        threshold=trained.threshold if args.threshold is None else args.threshold,
        data=args.data or trained.data,
        scores={name: value for path in args.scores for name, value in read_scores(path).items()},
    )
    graph, report = export_network(network, trained.config, facts, args.model_dir, body=body)
    print(f"wrote {graph} ({graph.stat().st_size / 1e6:.1f} MB), all {len(report.checks)} checks passed")
    return 0


def _blended(network: "DepthHMR", text: str, body: "Body") -> "DepthHMR":
    from depthhmr.training.blend import blend
    from depthhmr.training.restore import restore

    folder, _, share = text.rpartition("=")
    try:
        part = float(share)
    except ValueError:
        raise UserError(f"expected --blend FOLDER=SHARE with a share like 0.5, got {text!r}") from None
    return blend(restore(Path(folder), body)[0], network, part)
