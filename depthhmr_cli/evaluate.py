"""Scores the exported network on rendered pictures or photographs that it was not trained on. Needs no torch.

examples:
  depthhmr evaluate --split test --json scores.json
  depthhmr evaluate --split test --page out/evaluation
  depthhmr evaluate --split val --sweep            the threshold to ship
  depthhmr evaluate --photos lspet_val             photographs with 2D labels, images/ and joints.json
  depthhmr evaluate --people-free holiday/empty    false people on photographs without people
  depthhmr evaluate --dataset agora SMPL --images agora --fits agora
  depthhmr evaluate --dataset 3dpw sequenceFiles/test --images imageFiles --regressor J_regressor_h36m.npy
  depthhmr evaluate --dataset relative-human test_annots.npz --images images --page out/relative-human
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bodykit.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from bodykit.body import Body
    from bodykit.manifest import Manifest
    from depthhmr.evaluation.evaluation import Scores
    from depthhmr.evaluation.people_free import FalsePeople
    from depthhmr.evaluation.photo_scores import PhotoScores
    from depthhmr.evaluation.photos import PhotoPrediction, Picture
    from depthhmr.synth.scene import Generator, Sample
    from service.settings import Settings

HELP = "score the exported network on pictures that it never saw"
SPLITS = ("val", "test")
BATCH = 8
Draw = Callable[[Path, Mapping[str, Any]], Path]  # (folder, report) -> the page that was written

Evaluate = Callable[..., tuple[dict[str, Any], Draw]]  # (args, network, body, size, threshold)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", choices=SPLITS, default="test", help="which pictures (default: %(default)s)")
    parser.add_argument(
        "--photos", type=Path, metavar="DIR", help="photographs with labelled joints, instead of a split"
    )
    parser.add_argument(
        "--people-free",
        type=Path,
        metavar="DIR",
        help="pictures without people: count the false people there and on the built-in rendered places",
    )
    add_dataset_arguments(parser)
    parser.add_argument("--count", type=int, metavar="N", help="only the first N pictures")
    parser.add_argument("--model-dir", type=Path, metavar="DIR", help="model folder (default: as for serve)")
    parser.add_argument("--threshold", type=float, metavar="T", help="score of a person (default: the manifest's)")
    parser.add_argument(
        "--sweep", action="store_true", help="score at the threshold of the best F1, which only val may choose"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores to FILE")
    parser.add_argument(
        "--page", type=Path, metavar="DIR", help="write DIR/index.html: the best, median and worst pictures"
    )


def add_dataset_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset", nargs=2, metavar=("FORMAT", "PATH"), help="a public board: agora, 3dpw or relative-human"
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="of --dataset (default: at its path)")
    parser.add_argument("--fits", type=Path, metavar="DIR", help="agora: what gt_path_smpl starts from")
    parser.add_argument("--smpl", type=Path, metavar="FILE", help="agora: your SMPL, for tables without joints")
    parser.add_argument(
        "--kid-template", type=Path, metavar="FILE", help="agora: smpl_kid_template.npy, for children beside --smpl"
    )
    for gender in ("male", "female"):
        parser.add_argument(
            f"--smpl-{gender}",
            type=Path,
            metavar="FILE",
            help=f"3dpw: your {gender} SMPL, for true meshes of the gender",
        )
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="3dpw: every Nth frame (default: %(default)s)"
    )
    parser.add_argument("--regressor", type=Path, metavar="FILE", help="3dpw: J_regressor_h36m.npy")
    parser.add_argument(
        "--pelvis",
        choices=("h36m", "mid_hip"),
        default="h36m",
        help="3dpw: what both bodies are aligned by (default: %(default)s)",
    )
    parser.add_argument(
        "--body-vertices",
        type=Path,
        metavar="FILE",
        help="agora: body_verts_smpl.npy, the vertices of MVE (default: all)",
    )


def run(args: argparse.Namespace) -> int:
    check(args)
    from bodykit.body import load_body
    from bodykit.manifest import Manifest
    from service.settings import load_settings

    settings = load_settings({"model_dir": args.model_dir, "engine": "embedded"})
    manifest = Manifest.read(settings.model_dir).choose(settings.model_variant)
    body = load_body(settings.body)
    check_body(manifest, body)
    threshold = manifest.threshold if args.threshold is None else args.threshold
    begin = time.perf_counter()
    with Network(settings, manifest) as network:
        report, draw = choose(args)(args, network, body, manifest.input_size, threshold)
    report |= {
        "model": {"name": manifest.name, "version": manifest.version, "sha256": manifest.sha256},
        "run": {"command": args.command_line, "seconds": round(time.perf_counter() - begin, 1)},
    }
    if args.json:
        args.json.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    if args.page:
        print(f"drawing the page in {args.page}: some 20 seconds", file=sys.stderr)
        print(f"wrote {draw(args.page, report)}")
    return 0


def choose(args: argparse.Namespace) -> Evaluate:
    """The evaluation for these arguments."""
    if args.dataset:
        return evaluate_board
    return evaluate_photos if args.photos or args.people_free else evaluate_split


def evaluate_split(
    args: argparse.Namespace, network: "Network", body: "Body", size: int, threshold: float
) -> tuple[dict[str, Any], Draw]:
    """Prints the scores on rendered pictures; returns them and a function that writes their page."""
    from depthhmr.evaluation import evaluation
    from depthhmr.evaluation.predictions import collect
    from depthhmr.synth.scene import Generator

    pictures = Rendered(Generator(body, size), seeds(args.split, args.count))
    predictions = list(collect(network, pictures, body, batch=BATCH, progress=sys.stderr.isatty()))
    rows: list[tuple[float, float, float, float]] = []
    if args.sweep:
        threshold, rows = evaluation.best_threshold(predictions)
        print(sweep_table(rows, threshold))
    scores = evaluation.score(predictions, body, threshold)
    print(table(scores))
    report = scores.to_json() | {
        "split": args.split,
        "seeds": [pictures.seeds.start, pictures.seeds.stop],
        "sweep": [dict(zip(("threshold", "precision", "recall", "f1"), row, strict=True)) for row in rows],
    }

    def draw(folder: Path, report: Mapping[str, Any]) -> Path:
        from depthhmr_cli.evaluation_page import write_page

        return write_page(folder, report, pictures, predictions, body)

    return report, draw


def evaluate_photos(
    args: argparse.Namespace, network: "Network", body: "Body", size: int, threshold: float
) -> tuple[dict[str, Any], Draw]:
    """The same for photographs: the labelled people of --photos, and false people on pictures without people."""
    from depthhmr.evaluation.evaluation import without_nan
    from depthhmr.evaluation.people_free import count_false, empty_places, read_people_free
    from depthhmr.evaluation.photo_scores import score_photos
    from depthhmr.evaluation.photos import predict_photos, read_photos
    from depthhmr.synth.scene import Generator

    def predict(pictures: Sequence["Picture"]) -> list["PhotoPrediction"]:
        progress = sys.stderr.isatty()
        return list(predict_photos(network, pictures[: args.count], body, size, batch=BATCH, progress=progress))

    labelled = read_photos(args.photos) if args.photos else []
    empty: dict[str, Sequence[Picture]] = {"folder": read_people_free(args.people_free)} if args.people_free else {}
    empty["rendered"] = empty_places(Generator(body, size))
    predictions, people_free = predict(labelled), {name: predict(pictures) for name, pictures in empty.items()}
    false = {name: count_false(found, threshold) for name, found in people_free.items()}
    report: dict[str, Any] = {"threshold": threshold}
    if predictions:
        scores = score_photos(predictions, threshold)
        report |= asdict(scores)
        print(photo_table(scores))
        print()
    print(false_table(false))
    report["people_free"] = {name: asdict(count) for name, count in false.items()}

    def draw(folder: Path, report: Mapping[str, Any]) -> Path:
        from depthhmr_cli.photo_page import write_photo_page

        return write_photo_page(folder, report, predictions, people_free, body)

    return without_nan(report), draw


def evaluate_board(
    args: argparse.Namespace, network: "Network", body: "Body", size: int, threshold: float
) -> tuple[dict[str, Any], Draw]:
    """The same for a public data set."""
    from depthhmr_cli.dataset_evaluation import evaluate_dataset

    return evaluate_dataset(args, network, body, size, threshold)


def check(args: argparse.Namespace) -> None:
    if args.every < 1:
        raise UserError(f"--every must be at least 1, got {args.every}")
    if args.dataset and (args.photos or args.people_free or args.sweep):
        raise UserError("--dataset stands alone: leave out --photos, --people-free and --sweep")
    if args.count is not None and args.count < 1:
        raise UserError(f"--count must be at least 1, got {args.count}")
    if args.threshold is not None and not 0 < args.threshold <= 1:
        raise UserError(f"--threshold must lie in (0, 1], got {args.threshold}")
    for name, folder in (("--photos", args.photos), ("--people-free", args.people_free)):
        if args.sweep and folder:
            raise UserError(f"--sweep chooses a threshold, which only --split val may do, not {name}")
    if args.sweep and args.split != "val":
        raise UserError(f"--sweep chooses a threshold, which only --split val may do, got --split {args.split}")
    if args.sweep and args.threshold is not None:
        raise UserError("--sweep chooses the threshold itself: leave out --threshold")
    check_outputs(args)


def check_outputs(args: argparse.Namespace) -> None:
    """UserError for outputs that cannot be written, before hours of work."""
    from depthhmr_cli.page import prepare_folder

    if args.page:
        prepare_folder(args.page, "--page")
    if args.json:
        if args.json.is_dir():
            raise UserError(f"expected a file for --json, {args.json} is a folder")
        prepare_folder(args.json.parent, "--json")


def check_body(manifest: "Manifest", body: "Body") -> None:
    if manifest.body.sha256 != body.sha256:
        raise UserError(
            f"the network was trained for the body {manifest.body.name} {manifest.body.version} "
            f"({manifest.body.sha256[:12]}), the installed one is {body.name} {body.version} ({body.sha256[:12]})"
        )


def seeds(split: str, count: int | None) -> range:
    """The seeds of the first `count` pictures of a split, all when None."""
    from depthhmr.synth.splits import SPLITS as RANGES

    first, size = RANGES[split]
    return range(first, first + min(size, count or size))


class Rendered(Sequence["Sample"]):
    """Pictures that are rendered on access: a picture is its seed."""

    def __init__(self, generator: "Generator", seeds: range) -> None:
        self.generator = generator
        self.seeds = seeds

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, index: Any) -> Any:
        return self.generator.sample(self.seeds[index])


class Network:
    """The embedded engine of the service as a plain function of arrays, open inside its `with` block."""

    def __init__(self, settings: "Settings", manifest: "Manifest") -> None:
        from service.engines.embedded import EmbeddedEngine

        self._engine = EmbeddedEngine.open(settings, manifest, settings.model_dir)

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run(self._engine.aclose())

    def __call__(self, images: "np.ndarray", intrinsics: "np.ndarray") -> Mapping[str, "np.ndarray"]:
        return self._engine.run({"image": images, "intrinsics": intrinsics})


def table(scores: "Scores") -> str:
    """The scores as lines of text."""
    counts = scores.counts

    def line(title: str, name: str, unit: str, digits: int, rest: str = "") -> str:
        low, high = scores.intervals[name]
        between = f"{low:.{digits}f} to {high:.{digits}f}"
        return f"  {title:<12} {getattr(scores, name):8.{digits}f} {unit:<4} {between:<18} {rest}".rstrip()

    lines = [
        f"{counts['images']} pictures, {counts['people']} people that count ({counts['ignored']} do not), "
        f"threshold {scores.threshold:g}: {counts['found']} found, {counts['missed']} missed, {counts['false']} false",
        "",
        f"  {'':<26} 95 % interval",
        line("F1", "f1", "", 3, f"precision {scores.precision:.3f}, recall {scores.recall:.3f}"),
        line("MVE", "mve", "mm", 1, f"NMVE {scores.nmve:.1f}"),
        line("MPJPE", "mpjpe", "mm", 1, f"NMJE {scores.nmje:.1f}"),
        line("PA-MPJPE", "pa_mpjpe", "mm", 1),
        line("root", "root_median", "m", 3, f"median; mean {scores.root_mean:.3f}"),
        line("facing", "facing_median", "deg", 1, f"median; mean {scores.facing_mean:.1f}"),
        line("flipped", "facing_flipped", "", 3, "facing more than 90 deg off"),
        line("orientation", "orientation_median", "deg", 1, "median"),
        line("PCDR0.2", "pcdr", "", 3, f"{counts['pairs']} pairs"),
        line("PCK 5 %", "pck", "", 3),
        f"  {'depth map':<12} {scores.depth_error:8.3f}      {'':<18} relative error; IoU {scores.depth_iou:.3f}",
    ]
    for name, rows in scores.splits.items():
        lines += ["", f"  {'by ' + name:<15} people  recall   MVE  MPJPE     PA   root  facing"]
        lines += [
            f"  {row.name:<15}{row.people:7d}{row.recall:8.3f}{row.mve:6.0f}{row.mpjpe:7.0f}{row.pa_mpjpe:7.0f}"
            f"{row.root_median:7.2f}{row.facing_median:8.0f}"
            for row in rows
        ]
    return "\n".join(lines)


def photo_table(scores: "PhotoScores") -> str:
    """The scores on photographs as lines of text."""

    def interval(name: str) -> str:
        low, high = scores.intervals[name]
        return f"{low:.3f} to {high:.3f}"

    from depthhmr.evaluation.photo_scores import JOINT_SHARE

    lines = [
        f"{scores.photos} photos, one labelled person in each, threshold {scores.threshold:g}: "
        f"{scores.people_per_photo:.2f} people reported per photo",
        "",
        f"  {'':<24} 95 % interval",
        f"  {'recall':<16}{scores.recall:6.3f}  {interval('recall')}",
    ]
    for share, value in scores.pck.items():
        rest = interval("pck") if float(share) == JOINT_SHARE else ""
        lines.append(f"  {f'PCK@{share} torso':<16}{value:6.3f}  {rest}".rstrip())
    lines += [f"  {f'PCK@{share} box':<16}{value:6.3f}" for share, value in scores.pck_box.items()]
    lines += ["", f"  the torso is known of {scores.with_torso} photos; by joint, at {JOINT_SHARE} of it"]
    lines += [f"  {name:<15}{value:7.3f}" for name, value in scores.pck_by_joint.items()]
    for name, rows in scores.splits.items():
        lines += ["", f"  {'by ' + name:<15} photos  recall  PCK@{JOINT_SHARE} torso"]
        lines += [f"  {row.name:<15}{row.photos:7d}{row.recall:8.3f}{row.pck:8.3f}" for row in rows]
    return "\n".join(lines)


def false_table(false: Mapping[str, "FalsePeople"]) -> str:
    """The false people of every set as lines of text."""
    lines = ["  without people  pictures  false people  per 100  pictures with any"]
    lines += [
        f"  {name:<14}{row.pictures:10d}{row.false:14d}{row.per_100:9.1f}{row.pictures_with_false:19d}"
        for name, row in false.items()
    ]
    return "\n".join(lines)


def sweep_table(rows: Sequence[tuple[float, float, float, float]], best: float) -> str:
    lines = ["  threshold  precision  recall     F1"]
    lines += [
        f"  {threshold:9.2f}{precision:11.3f}{recall:8.3f}{f1:7.3f}{'  best' if threshold == best else ''}"
        for threshold, precision, recall, f1 in rows
    ]
    return "\n".join([*lines, ""])
