"""Turns the network into a TensorRT plan for the GPU of this machine, in a folder that Triton serves.

examples:
  depthhmr tensorrt build --out plans              inside NVIDIA's tensorrt container, with a GPU
  depthhmr tensorrt build --out plans --dry-run    everything that needs neither TensorRT nor a GPU
  depthhmr tensorrt check                          whether TensorRT knows every operator of the network
  depthhmr tensorrt check --noise                  and the effect of noise in the pictures on the outputs
"""

import argparse
from pathlib import Path

from bodykit.errors import UserError

HELP = "build a TensorRT plan of the network for a GPU, checked against ONNX Runtime"
MODEL_DIR = Path("model_repository/depthhmr")
PRECISIONS = ("mixed", "fp32", "half")  # as depthhmr.tensorrt.choice, which needs onnx to be imported


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)
    build = actions.add_parser("build", help="make the plan, or see that the one on disk fits")
    build.add_argument("--model-dir", type=Path, default=MODEL_DIR, metavar="DIR", help="default: %(default)s")
    build.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="model repository to write: DIR/NAME/1/model.plan"
    )
    build.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="mixed",
        help="mixed: half precision where it does no harm; half: everywhere, which fails its own check "
        "(default: %(default)s)",
    )
    build.add_argument(
        "--batches",
        type=int,
        nargs="+",
        metavar="N",
        help="smallest, common and largest batch (default: 1, 4 and Triton's max_batch_size)",
    )
    build.add_argument(
        "--images", type=Path, metavar="DIR", help="compare on these pictures (default: 64 synthetic ones)"
    )
    build.add_argument(
        "--workspace-mb", type=int, default=2048, metavar="N", help="GPU memory for the build (default: %(default)s)"
    )
    build.add_argument("--graph", type=Path, metavar="FILE", help="also keep the converted graph, for trtexec say")
    build.add_argument("--force", action="store_true", help="build even if the plan on disk fits")
    build.add_argument("--dry-run", action="store_true", help="do all that needs no TensorRT, write nothing")
    check = actions.add_parser("check", help="whether TensorRT knows every operator of the network")
    check.add_argument("--model-dir", type=Path, default=MODEL_DIR, metavar="DIR", help="default: %(default)s")
    check.add_argument("--graph", type=Path, metavar="FILE", help="check this ONNX file as it is, instead")
    check.add_argument("--precision", choices=PRECISIONS, default="mixed", help="default: %(default)s")
    check.add_argument(
        "--noise", action="store_true", help="also print what one grey level in 1 %% of the values does to the answers"
    )


def run(args: argparse.Namespace) -> int:
    return run_build(args) if args.action == "build" else run_check(args)


def run_build(args: argparse.Namespace) -> int:
    from depthhmr.tensorrt.build import Options, build

    options = Options(
        model_dir=args.model_dir,
        out=args.out,
        precision=args.precision,
        batches=tuple(args.batches) if args.batches else None,
        images=args.images,
        workspace_mb=args.workspace_mb,
        graph=args.graph,
        dry_run=args.dry_run,
        force=args.force,
    )
    build(options, say)
    return 0


def run_check(args: argparse.Namespace) -> int:
    from bodykit.manifest import Manifest
    from depthhmr.tensorrt import operators
    from depthhmr.tensorrt.build import check_operators, convert_graph
    from depthhmr.tensorrt.graph import load_graph

    if args.graph:
        try:
            model = load_graph(args.graph.read_bytes())
        except OSError as error:
            raise UserError(f"cannot read the graph {args.graph}: {error.strerror}") from error
    else:
        manifest = Manifest.read(args.model_dir)
        content = manifest.verified_onnx(args.model_dir)
        model = convert_graph(content, args.precision, lambda line: None).model
    support = operators.check(model)
    for use in support.uses:
        say(f"{use.count:>5}  {use.operator:<20} {', '.join(use.types)}")
    say(f"opset {support.opset}; table: {support.table.source}")
    check_operators(model, lambda line: None)
    say(f"TensorRT takes all {len(support.uses)}, as far as the table tells")
    if args.noise and not args.graph:
        from depthhmr.tensorrt.noise import noise

        for line in noise(content, manifest).table():
            say(line)
    return 0


def say(line: str) -> None:
    print(line, flush=True)
