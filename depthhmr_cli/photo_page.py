"""The page of an evaluation on photographs: the people painted over each photo, and the labelled joints beside them.

The page contains the photographs, so their licence may forbid publishing it.
"""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bodykit.body import Body
from bodykit.camera import Intrinsics
from bodykit.skinning import pose_vertices
from depthhmr.evaluation.photo_scores import JOINT_SHARE, PhotoMatches, match_photos
from depthhmr.evaluation.photos import PhotoPrediction
from depthhmr_cli.page import PREDICTED, TRUE, Page, between, choose, number, split_table, swatch, table
from depthhmr_cli.panels import painted, resized, side_by_side, skeletons

HEIGHT = 300  # pixels of every photo on the page
OTHERS = (150, 170, 190)  # reported people who are not the labelled one
EACH = 12  # pictures in each of the groups
COLUMNS = {
    "name": ("", 0),
    "photos": ("photos", 0),
    "recall": ("recall", 3),
    "pck": (f"PCK@{JOINT_SHARE} of the torso", 3),
}
LEGEND = ",\n".join(
    (
        swatch(TRUE, "labelled joints", round_one=True),
        swatch(PREDICTED, "the labelled person, or all if none is labelled or found"),
        swatch(OTHERS, "others"),
    )
)


def write_photo_page(
    folder: Path,
    report: Mapping[str, Any],
    predictions: Sequence[PhotoPrediction],
    people_free: Mapping[str, Sequence[PhotoPrediction]],
    body: Body,
) -> Path:
    """Writes index.html and its pictures into `folder`; returns the path of the page.

    `report` is what `depthhmr evaluate --json` writes, `people_free` the predictions on pictures without people, by set.
    """
    page, threshold = Page(folder, beside=True, suffix="jpg"), report["threshold"]

    def figure(name: str, prediction: PhotoPrediction, query: int, note: str) -> str:
        return page.figure(
            name, draw_photo(prediction, body, threshold, query), html.escape(f"{prediction.photo.name}: {note}")
        )

    if predictions:
        matches = match_photos(predictions, threshold)
        for title, indices in photo_groups(matches).items():
            figures = [
                figure(f"{title}-{rank}", predictions[i], int(matches.query[i]), _note(matches, i))
                for rank, i in enumerate(indices)
            ]
            page.section(title, figures)
    for name, seen in people_free.items():
        worst = sorted((a for a in seen if len(a.people(threshold))), key=lambda a: -len(a.people(threshold)))
        figures = [
            figure(f"false-{name}-{rank}", prediction, -1, f"{len(prediction.people(threshold))} false")
            for rank, prediction in enumerate(worst[:EACH])
        ]
        page.section(f"false people, {name}", figures)
    tables = [_false(report["people_free"])]
    if "photos" in report:
        splits = [split_table(name, rows, COLUMNS) for name, rows in report["splits"].items()]
        tables = [_scores(report), _joints(report), *splits, *tables]
    return page.write("photographs", report, LEGEND, tables)


def photo_groups(matches: PhotoMatches) -> dict[str, list[int]]:
    """Photos of the best, median and worst of the found people by `PhotoMatches.errors`, and some missed ones, evenly spread."""
    missed = np.flatnonzero(~matches.found)
    spread = np.unique(np.linspace(0, len(missed) - 1, min(EACH, len(missed))).astype(int))
    return choose(matches.errors(), EACH) | {"missed": missed[spread].tolist()}


def draw_photo(prediction: PhotoPrediction, body: Body, threshold: float, query: int = -1) -> Image.Image:
    """The photo with the people over it, beside the photo with skeletons and labels; `query` is the labelled person."""
    small, scale = resized(prediction.photo.pixels(), HEIGHT)
    chosen = prediction.people(threshold)
    over = small
    if len(chosen):
        betas, rotations, translation = (
            prediction.outputs[name][chosen] for name in ("betas", "rotations", "translation")
        )
        vertices = pose_vertices(body, betas, rotations, translation)[0]
        camera = Intrinsics.from_fov(*small.size)  # the default camera, which the network got
        over = painted(small, vertices, body, camera)
    colours = [PREDICTED if query in (-1, i) else OTHERS for i in chosen]
    return side_by_side(
        [over, skeletons(small, prediction.joints_2d[chosen] * scale, colours, prediction.photo.joints * scale)]
    )


def _note(matches: PhotoMatches, index: int) -> str:
    if not matches.found[index]:
        return f"missed, {matches.reported[index]} reported"
    shares = matches.distance[index] / matches.torso[index]
    known = ~np.isnan(shares)
    within = f"{(shares[known] <= JOINT_SHARE).sum()} of {known.sum()} joints" if known.any() else "torso unknown"
    return f"{within}, {matches.reported[index]} reported"


def _scores(report: Mapping[str, Any]) -> str:
    rows: list[tuple[str, Any, Sequence[Any] | None]] = [("recall", report["recall"], report["intervals"]["recall"])]
    for share, value in report["pck"].items():
        bounds = report["intervals"]["pck"] if float(share) == JOINT_SHARE else None
        rows.append((f"PCK@{share} of the torso", value, bounds))
    rows += [(f"PCK@{share} of the box", value, None) for share, value in report["pck_box"].items()]
    counts = [
        ("photos", str(report["photos"]), ""),
        ("with a torso", str(report["with_torso"]), ""),
        ("reported per photo", number(report["people_per_photo"], 2), ""),
    ]
    cells = [(name, number(value, 3), between(bounds, 3)) for name, value, bounds in rows]
    return table(("", "", "95 % interval"), [*counts, *cells])


def _joints(report: Mapping[str, Any]) -> str:
    rows = [(name, number(value, 3)) for name, value in report["pck_by_joint"].items()]
    return table(("joint", f"PCK@{JOINT_SHARE} of the torso"), rows)


def _false(sets: Mapping[str, Mapping[str, Any]]) -> str:
    head = ("without people", "pictures", "false people", "per 100", "pictures with any")
    rows = [
        (name, *(number(row[key], digits) for key, digits in
                 (("pictures", 0), ("false", 0), ("per_100", 1), ("pictures_with_false", 0))))
        for name, row in sets.items()
    ]  # fmt: skip
    return table(head, rows)
