"""`depthhmr evaluate --dataset`: the figures of a public board on a user's own copy of its data set."""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from bodykit.errors import UserError

if TYPE_CHECKING:
    from bodykit.body import Body
    from depthhmr.answers import Predict
    from depthhmr.benchmarks.agora import AgoraScores
    from depthhmr.benchmarks.labelled import Shown
    from depthhmr.benchmarks.relative_human import LayerScores
    from depthhmr.benchmarks.threedpw import ThreeDPWScores
    from depthhmr.data.picture import Picture
    from depthhmr.photos import PhotoAnswer

BATCH = 8
SMPL_VERTICES = 6890
TOLERANCE_MM = 40.0  # of the readers, for SMPL people on another body


def evaluate_dataset(
    args: argparse.Namespace, predict: "Predict", body: "Body", size: int, threshold: float
) -> dict[str, Any]:
    """Prints the figures of the board and returns them as plain values."""
    from depthhmr.benchmarks.labelled import answered
    from depthhmr.evaluation import without_nan
    from depthhmr.photos import ask

    name, pictures = read(args)

    def show(group: "list[Shown]") -> "Iterator[PhotoAnswer]":
        return ask(predict, group, body, size, batch=BATCH)

    counted = tqdm(islice(pictures, args.count), unit="picture", disable=not sys.stderr.isatty(), dynamic_ncols=True)
    scores, table = BOARDS[name](args, answered(counted, show, BATCH), body, threshold)
    print(f"{name}, threshold {threshold:g}\n{table}")
    notes = [NOTES[name]] if name in NOTES else []
    if name != "relative-human" and len(body.template) != SMPL_VERTICES:
        notes.append(f"the body is {body.name} {body.version}, not SMPL: no figure may stand beside published ones")
    print("\n".join(f"note: {note}" for note in notes))
    return without_nan(asdict(scores)) | {"dataset": name, "threshold": threshold, "notes": notes}


def read(args: argparse.Namespace) -> "tuple[str, Iterator[Picture]]":
    """The name of the board, and the pictures of the reader of `depthhmr data pack` for it."""
    from depthhmr_cli.data import READERS
    from service.settings import load_settings

    name, source = args.dataset
    if name not in BOARDS:
        raise UserError(f"--dataset knows {', '.join(BOARDS)}, got {name!r}")
    path = Path(source)
    if not path.exists():
        raise UserError(f"there is no data set at {path}")
    if name == "3dpw" and args.regressor is None:
        raise UserError("expected --regressor with the 17 Human3.6M joints of SMPL (J_regressor_h36m.npy)")
    wanted = argparse.Namespace(
        source=path, images=args.images, fits=args.fits, smpl=args.smpl, every=args.every,
        body=load_settings({}).body, tolerance_mm=TOLERANCE_MM,
    )  # fmt: skip
    return name, READERS[name](wanted)


def on_agora(args: argparse.Namespace, answers: Any, body: "Body", threshold: float) -> "tuple[AgoraScores, str]":
    from depthhmr.benchmarks.agora import score_agora
    from depthhmr.benchmarks.labelled import agora_pictures, read_vertices

    chosen = read_vertices(args.body_vertices) if args.body_vertices else None
    if chosen is not None and (not len(chosen) or chosen.min() < 0 or chosen.max() >= len(body.template)):
        raise UserError(f"expected vertices from 0 to {len(body.template) - 1} in {args.body_vertices}")
    scores = score_agora(agora_pictures(answers, body, threshold), body_vertices=chosen)
    published, counts = scores.published, scores.counts
    lines = [
        f"{counts['images']} pictures, {counts['people']} people that count ({counts['ignored']} do not): "
        f"{counts['found']} found, {counts['missed']} missed, {counts['false']} false",
        "",
        f"  F1    {published.f1:6.2f}      precision {published.precision:.2f}, recall {published.recall:.2f}",
        f"  MPJPE {published.mpjpe:6.1f} mm   NMJE {published.nmje:.1f}",
        f"  MVE   {published.mve:6.1f} mm   NMVE {published.nmve:.1f}",
        "",
        "  occlusion      people  recall  MPJPE    MVE",
        *(
            f"  {row.name:<14}{row.people:7d}{row.recall:8.3f}{row.mpjpe:7.1f}{row.mve:7.1f}"
            for row in scores.by_occlusion
        ),
    ]
    return scores, "\n".join(lines)


def on_3dpw(args: argparse.Namespace, answers: Any, body: "Body", threshold: float) -> "tuple[ThreeDPWScores, str]":
    from depthhmr.benchmarks.labelled import read_regressor, threedpw_pictures
    from depthhmr.benchmarks.threedpw import score_3dpw

    scores = score_3dpw(threedpw_pictures(answers, body, threshold), read_regressor(args.regressor), pelvis=args.pelvis)
    lines = [
        f"{scores.people} people, {scores.found} found, recall {scores.recall:.3f}; pelvis {scores.pelvis}",
        "",
        f"  MPJPE    {scores.mpjpe:6.1f} mm",
        f"  PA-MPJPE {scores.pa_mpjpe:6.1f} mm",
        f"  MVE      {scores.mve:6.1f} mm",
    ]
    return scores, "\n".join(lines)


def on_relative_human(
    args: argparse.Namespace, answers: Any, body: "Body", threshold: float
) -> "tuple[LayerScores, str]":
    from depthhmr.benchmarks.labelled import layer_pictures
    from depthhmr.benchmarks.relative_human import score_layers

    scores = score_layers(layer_pictures(answers, threshold))
    lines = [
        f"{scores.people} people, {scores.found} found, {scores.false} others reported",
        "",
        f"  PCDR0.2    {100 * scores.pcdr:6.2f} %",
        f"  mPCKh0.6   {100 * scores.mpckh:6.2f} %",
        *(f"  {kind:<10} {right:6d} of {pairs} pairs" for kind, (right, pairs) in scores.correct.items()),
        *(f"  {age:<10} {100 * share:6.2f} %" for age, share in scores.pcdr_by_age.items() if share is not None),
    ]
    return scores, "\n".join(lines)


BOARDS: "dict[str, Callable[[argparse.Namespace, Any, Body, float], tuple[Any, str]]]" = {
    "agora": on_agora,
    "3dpw": on_3dpw,
    "relative-human": on_relative_human,
}
NOTES = {
    "agora": "the reader does not tell children from adults: they count, and have no figures of their own",
    "3dpw": "true meshes are of the body in use, not of the actor's gender: MVE is a little milder or harsher for it",
    "relative-human": "13 of the 14 joints are ours; people with fewer than 4 labelled limb joints are left out",
}
