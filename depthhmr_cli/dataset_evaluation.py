"""`depthhmr evaluate --dataset`: the figures of a public benchmark on a user's copy of its data set."""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from bodykit.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from bodykit.body import Body
    from depthhmr.benchmarks.labelled import LabelledPicture
    from depthhmr.data.picture import Picture
    from depthhmr.evaluation.photos import PhotoPrediction
    from depthhmr.evaluation.predictions import Predict
    from depthhmr_cli.dataset_page import Seen

BATCH = 8
SMPL_VERTICES = 6890
TOLERANCE_MM = 40.0  # of the readers, for SMPL people on another body
Answered = Iterator[tuple["Picture", "PhotoPrediction"]]
Draw = Callable[[Path, Mapping[str, Any]], Path]  # (folder, report) -> the page that was written
WritePage = Callable[[Path, Mapping[str, Any], Mapping[str, str], "Sequence[Seen]", Any, "Body"], Path]

OPTIONS = {
    "agora": ("images", "fits", "smpl", "kid_template", "body_vertices"),
    "3dpw": ("images", "every", "regressor", "pelvis", "smpl_male", "smpl_female"),
    "relative-human": ("images",),
}
DEFAULTS = {"every": 1, "pelvis": "h36m"}


@dataclass(frozen=True)
class Outcome:
    """The result of a benchmark over all pictures."""

    scored: Any
    scores: Any  # a dataclass with `splits`
    figures: dict[str, str]  # the head of the report, in words
    write_page: WritePage


def evaluate_dataset(
    args: argparse.Namespace, predict: "Predict", body: "Body", size: int, threshold: float
) -> tuple[dict[str, Any], Draw]:
    """Prints the figures of the benchmark; returns them as plain values, and a function that writes their page."""
    from depthhmr.benchmarks.labelled import predicted
    from depthhmr.evaluation.evaluation import without_nan
    from depthhmr.evaluation.photos import predict_photos
    from depthhmr_cli.dataset_page import Seen

    name, pictures = read(args, body)

    def predict_group(group: "list[LabelledPicture]") -> "Iterator[PhotoPrediction]":
        return predict_photos(predict, group, body, size, batch=BATCH)

    counted = tqdm(islice(pictures, args.count), unit="picture", disable=not sys.stderr.isatty(), dynamic_ncols=True)
    predictions = predicted(counted, predict_group, BATCH)
    seen: list[Seen] = []

    def kept() -> Answered:
        for picture, prediction in predictions:
            seen.append(Seen.of(picture, prediction, threshold))
            yield picture, prediction

    outcome = BOARDS[name](args, kept() if args.page else predictions, body, threshold)
    facts = {"dataset": name, "threshold": threshold, "notes": notes(name, outcome.scores, body)}
    report = without_nan(asdict(outcome.scores)) | facts
    print(f"{name}, threshold {threshold:g}")
    print(figure_lines(outcome.figures))
    print("\n".join(line for split, rows in report["splits"].items() for line in ("", *split_lines(split, rows))))
    print("\n".join(("", *(f"note: {note}" for note in report["notes"]))).rstrip())

    def draw(folder: Path, full: Mapping[str, Any]) -> Path:
        return outcome.write_page(folder, full, outcome.figures, seen, outcome.scored, body)

    return report, draw


def read(args: argparse.Namespace, body: "Body") -> "tuple[str, Iterator[Picture]]":
    """The name of the benchmark, and its pictures from the readers of `depthhmr data pack`."""
    name, source = args.dataset
    if name not in BOARDS:
        raise UserError(f"--dataset knows {', '.join(BOARDS)}, got {name!r}")
    path = Path(source)
    if not path.exists():
        raise UserError(f"there is no data set at {path}")
    check_options(args, name)
    return name, READERS[name](args, path, body)


def check_options(args: argparse.Namespace, name: str) -> None:
    """UserError for an option of another benchmark, instead of silently ignoring it."""
    for option in sorted({option for options in OPTIONS.values() for option in options} - set(OPTIONS[name])):
        if getattr(args, option) != DEFAULTS.get(option):
            takes = " ".join(f"--{known.replace('_', '-')}" for known in OPTIONS[name])
            raise UserError(f"{name} has no --{option.replace('_', '-')}; expected {takes}")


def kid_template_of(args: argparse.Namespace) -> "np.ndarray | None":
    from depthhmr.benchmarks.labelled import read_points

    if args.kid_template and not args.smpl:
        raise UserError("--kid-template shapes children of SMPL: expected --smpl beside it")
    return read_points(args.kid_template) if args.kid_template else None


def read_agora(args: argparse.Namespace, path: Path, body: "Body") -> "Iterator[Picture]":
    from bodykit.body import load_body
    from depthhmr.data import agora
    from depthhmr.data.body_transfer import BodyTransfer

    folder = path if path.is_dir() else path.parent
    template = kid_template_of(args)
    smpl = load_body(args.smpl) if args.smpl else None
    transfer = BodyTransfer(body, TOLERANCE_MM / 1000)
    images, fits = args.images or folder, args.fits or folder
    return agora.read(path, images, fits, transfer, smpl, kid_template=template, surfaces=True)


def read_3dpw(args: argparse.Namespace, path: Path, body: "Body") -> "Iterator[Picture]":
    from bodykit.body import load_body
    from depthhmr.data import pw3d
    from depthhmr.data.body_transfer import BodyTransfer

    if args.regressor is None:
        raise UserError("expected --regressor with the 17 Human3.6M joints of SMPL (J_regressor_h36m.npy)")
    if args.images is None:
        raise UserError("expected --images with 3DPW's folder imageFiles")
    files = {"male": args.smpl_male, "female": args.smpl_female}
    if any(files.values()) and not all(files.values()):
        raise UserError("true meshes of the actors' gender need both bodies: expected --smpl-male and --smpl-female")
    bodies = {gender: load_body(file) for gender, file in files.items() if file}
    return pw3d.read(path, args.images, BodyTransfer(body, TOLERANCE_MM / 1000), every=args.every, bodies=bodies)


def read_relative_human(args: argparse.Namespace, path: Path, body: "Body") -> "Iterator[Picture]":
    from depthhmr.data import relative_human

    return relative_human.read(path, args.images or path.parent / "images", fewest=0)


def on_agora(args: argparse.Namespace, predictions: Answered, body: "Body", threshold: float) -> Outcome:
    from depthhmr.benchmarks.agora import agora_figures, measure_agora
    from depthhmr.benchmarks.labelled import agora_pictures, read_vertices
    from depthhmr_cli.dataset_page import write_people_page

    chosen = read_vertices(args.body_vertices) if args.body_vertices else None
    if chosen is not None and (not len(chosen) or chosen.min() < 0 or chosen.max() >= len(body.template)):
        raise UserError(f"expected vertices from 0 to {len(body.template) - 1} in {args.body_vertices}")
    scored = measure_agora(agora_pictures(predictions, body, threshold), body_vertices=chosen)
    scores = agora_figures(scored)
    published, counts = scores.published, scores.counts
    figures = {
        "pictures": f"{counts['images']}, {counts['people']} people that count ({counts['ignored']} do not)",
        "people": f"{counts['found']} found, {counts['missed']} missed, {counts['false']} false",
        "F1": f"{published.f1:.2f}, precision {published.precision:.2f}, recall {published.recall:.2f}",
        "MPJPE": f"{published.mpjpe:.1f} mm, NMJE {published.nmje:.1f}",
        "MVE": f"{published.mve:.1f} mm, NMVE {published.nmve:.1f}",
    }
    if kids := scores.kids:
        figures["children"] = (
            f"{counts['kids']}, F1 {kids.f1:.2f}, MPJPE {kids.mpjpe:.1f} mm, MVE {kids.mve:.1f} mm, NMVE {kids.nmve:.1f}"
        )
    return Outcome(scored, scores, figures, write_people_page)


def on_3dpw(args: argparse.Namespace, predictions: Answered, body: "Body", threshold: float) -> Outcome:
    from depthhmr.benchmarks.labelled import read_regressor, threedpw_pictures
    from depthhmr.benchmarks.threedpw import measure_3dpw, threedpw_figures
    from depthhmr_cli.dataset_page import write_people_page

    regressor = read_regressor(args.regressor)
    scored = measure_3dpw(threedpw_pictures(predictions, body, threshold), regressor, pelvis=args.pelvis)
    scores = threedpw_figures(scored, args.pelvis)
    figures = {
        "people": f"{scores.people}, {scores.found} found, recall {scores.recall:.3f}",
        "pelvis": scores.pelvis,
        "MPJPE": f"{scores.mpjpe:.1f} mm",
        "PA-MPJPE": f"{scores.pa_mpjpe:.1f} mm",
        "24 joints": f"MPJPE {scores.mpjpe_24:.1f} mm, PA-MPJPE {scores.pa_mpjpe_24:.1f} mm",
        "MVE": f"{scores.mve:.1f} mm, true meshes of {'their gender' if args.smpl_male else 'the body in use'}",
    }
    return Outcome(scored, scores, figures, write_people_page)


def on_relative_human(args: argparse.Namespace, predictions: Answered, body: "Body", threshold: float) -> Outcome:
    from depthhmr.benchmarks.labelled import layer_pictures
    from depthhmr.benchmarks.relative_human import layer_figures, measure_layers
    from depthhmr_cli.dataset_page import write_layer_page

    scored = measure_layers(layer_pictures(predictions, threshold))
    scores = layer_figures(scored)
    figures = {
        "people": f"{scores.people}, {scores.found} found, {scores.false} others reported",
        "PCDR0.2": f"{100 * scores.pcdr:.2f} %",
        "mPCKh0.6": f"{100 * scores.mpckh:.2f} %",
        **{kind: f"{right} of {pairs} pairs" for kind, (right, pairs) in scores.correct.items()},
    }
    return Outcome(scored, scores, figures, write_layer_page)


def notes(name: str, scores: Any, body: "Body") -> list[str]:
    """Reasons why the figures cannot be compared with published ones."""
    said = [NOTES[name]] if name in NOTES else []
    if name != "relative-human" and len(body.template) != SMPL_VERTICES:
        said.append(f"the body is {body.name} {body.version}, not SMPL: no figure can be compared with published ones")
    without = scores.counts["without_error"] if name == "agora" else getattr(scores, "without_error", 0)
    if without:
        said.append(f"{without} people were found without a pose of this body: they count for F1 and recall alone")
    return said


def figure_lines(figures: Mapping[str, str]) -> str:
    return "\n".join(f"  {name:<10} {value}" for name, value in figures.items())


def split_lines(split: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A split as lines of text; columns are the fields of its rows."""
    columns = [key for key in rows[0] if key != "name"]
    titles = {"mve": "MVE", "mpjpe": "MPJPE", "pa_mpjpe": "PA", "root_median": "root", "pcdr": "PCDR0.2"}
    digits = {"recall": 3, "mve": 1, "mpjpe": 1, "pa_mpjpe": 1, "root_median": 2, "pcdr": 3}

    def cell(row: Mapping[str, Any], key: str) -> str:
        return "-" if row[key] is None else f"{row[key]:.{digits.get(key, 0)}f}"

    head = "".join(f"{titles.get(key, key):>9}" for key in columns)
    lines = [f"  {row['name']:<17}" + "".join(f"{cell(row, key):>9}" for key in columns) for row in rows]
    return [f"  {'by ' + split:<17}{head}", *lines]


READERS: "dict[str, Callable[[argparse.Namespace, Path, Body], Iterator[Picture]]]" = {
    "agora": read_agora,
    "3dpw": read_3dpw,
    "relative-human": read_relative_human,
}
BOARDS: "dict[str, Callable[[argparse.Namespace, Answered, Body, float], Outcome]]" = {
    "agora": on_agora,
    "3dpw": on_3dpw,
    "relative-human": on_relative_human,
}
NOTES = {"relative-human": "13 of the 14 joints are ours: the top of the head is not"}
