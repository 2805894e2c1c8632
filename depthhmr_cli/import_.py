"""Checks a trained network and turns it into a model folder that the service serves.

SOURCE is a training run, its checkpoint.pt, or any ONNX graph that follows the tensor contract (docs/network.md). Every
check is printed with what was expected and what came; nothing is written if one fails. `depthhmr export` does the same for
a run and prints one line.

examples:
  depthhmr import runs/state/tiny --model-dir models/tiny
  depthhmr import theirs.onnx --model-dir models/theirs --threshold 0.3 --data "AGORA and BEDLAM" --license CC-BY-NC-4.0
  depthhmr import model.onnx --model-dir models/new --pictures holiday --report report.json
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from bodykit.errors import UserError

if TYPE_CHECKING:
    from depthhmr.export.folder import Facts
    from depthhmr.export.report import Report
    from depthhmr.tensorrt.pictures import Pictures

HELP = "examine a training run or an ONNX graph, check by check, and make a model folder of it"
DEFAULT_THRESHOLD = 0.5  # of a graph that comes without validation
MIN_PICTURES = 3  # a batch of three different ones


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="SOURCE", help="run folder, checkpoint.pt or ONNX graph")
    parser.add_argument(
        "--model-dir", type=Path, required=True, metavar="DIR", help="folder to write, or to replace the model of"
    )
    parser.add_argument(
        "--threshold", type=float, metavar="T", help="score of a person (default: validation's best; 0.5 for a graph)"
    )
    parser.add_argument("--name", default="depthhmr", help="name in the manifest and in Triton (default: %(default)s)")
    parser.add_argument("--version", default="1", help="version in the manifest (default: %(default)s)")
    parser.add_argument("--data", metavar="TEXT", help="what it was trained on (default: what the run says)")
    parser.add_argument("--license", help="licence of the weights (default: Apache-2.0 for a run, unknown for a graph)")
    parser.add_argument(
        "--scores",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="JSON of `depthhmr evaluate` for the manifest",
    )
    parser.add_argument(
        "--body",
        type=Path,
        metavar="FILE",
        help="body file of the network (default: the service's, else the free body)",
    )
    parser.add_argument(
        "--pictures", type=Path, metavar="DIR", help="your pictures to try it on (default: six rendered ones)"
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write the checks as JSON to FILE, also failed ones"
    )


def run(args: argparse.Namespace) -> int:
    from depthhmr.export.folder import NetworkRejected

    if args.threshold is not None and not 0 < args.threshold <= 1:
        raise UserError(f"--threshold must lie in (0, 1], got {args.threshold}")
    take = take_graph if args.source.suffix == ".onnx" else take_run
    try:
        graph, report = take(args)
    except NetworkRejected as error:
        tell(error.report, args.report)
        raise UserError(
            f"{len(error.report.failed)} of {len(error.report.checks)} checks failed: nothing was written to {args.model_dir}"
        ) from error
    tell(report, args.report)
    print(f"wrote {graph} ({graph.stat().st_size / 1e6:.1f} MB) and its manifest")
    return 0


def take_run(args: argparse.Namespace) -> "tuple[Path, Report]":
    """A checkpoint: exported, checked and compared with PyTorch."""
    from bodykit.body import load_body
    from depthhmr.export.checkpoint import read_trained
    from depthhmr.export.export import export_network
    from service.settings import load_settings

    body = load_body(args.body or load_settings({}).body)
    trained = read_trained(args.source, body)
    threshold = trained.threshold if args.threshold is None else args.threshold
    stated = facts(args, trained.config.name, threshold, trained.data, "Apache-2.0")
    pictures = own_pictures(args, trained.config.size)
    return export_network(trained.network, trained.config, stated, args.model_dir, pictures, body)


def take_graph(args: argparse.Namespace) -> "tuple[Path, Report]":
    """An ONNX graph of any origin."""
    from bodykit.body import load_body
    from depthhmr.export.examine import PICTURES, check_graph
    from depthhmr.export.folder import write_folder
    from depthhmr.tensorrt.pictures import synthetic
    from service.settings import load_settings

    try:
        content = args.source.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the graph {args.source}: {error.strerror or error}") from error
    body = load_body(args.body or load_settings({}).body)
    threshold = DEFAULT_THRESHOLD if args.threshold is None else args.threshold
    stated = facts(args, "imported", threshold, "unknown", "unknown")

    def pictures(size: int) -> "Pictures":
        return own_pictures(args, size) or synthetic(size, PICTURES)

    report = check_graph(content, pictures, body, threshold)
    return write_folder(content, report, stated, body, args.model_dir), report


def facts(args: argparse.Namespace, preset: str, threshold: float, data: str, license_name: str) -> "Facts":
    """The facts of the manifest that the graph does not hold."""
    from depthhmr.export.folder import Facts, read_scores

    return Facts(
        name=args.name,
        version=args.version,
        preset=preset,
        threshold=threshold,
        data=args.data or data,
        license=args.license or license_name,
        scores={name: value for path in args.scores for name, value in read_scores(path).items()},
    )


def own_pictures(args: argparse.Namespace, size: int) -> "Pictures | None":
    """The pictures of --pictures."""
    from depthhmr.tensorrt.pictures import from_folder

    if args.pictures is None:
        return None
    pictures = from_folder(args.pictures, size)
    if len(pictures) < MIN_PICTURES:
        raise UserError(f"expected at least {MIN_PICTURES} pictures in {args.pictures}, found {len(pictures)}")
    return pictures


def tell(report: "Report", path: Path | None) -> None:
    """Prints the checks, and writes them to a file on request."""
    print(report.lines())
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")
