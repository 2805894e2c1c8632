"""The page of an evaluation on rendered pictures: its tables, and its best, median and worst pictures with the truth."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bodykit.body import Body
from bodykit.camera import Intrinsics
from depthhmr.evaluation.evaluation import SPLITS
from depthhmr.evaluation.person_scores import PersonScores, measure_people, picture_errors
from depthhmr.evaluation.predictions import Prediction
from depthhmr_cli.page import PREDICTED, TRUE, Page, between, number, split_table, swatch, table
from depthhmr_cli.panels import Marks, framed, from_above, matching_colours, painted, posed, side_by_side, skeletons

PICTURED = ("distance", "height", "visible")  # splits of which every class shows its best, median and worst picture
PANEL = 320  # pixels
SLOPE = math.tan(math.pi / 6)  # of a view of 60 degrees
NEAREST_FAR_M = 3.0  # the least depth of a view from above

CAPTION = "picture | true people | predicted people | skeletons | from above, camera at the bottom"
LEGEND = f"{swatch(TRUE, 'true')}, {swatch(PREDICTED, 'predicted')}"
FIGURES = (
    ("f1", "F1", 3, ""), ("precision", "precision", 3, ""), ("recall", "recall", 3, ""), ("mve", "MVE", 1, "mm"),
    ("nmve", "NMVE", 1, "mm"), ("mpjpe", "MPJPE", 1, "mm"), ("nmje", "NMJE", 1, "mm"),
    ("pa_mpjpe", "PA-MPJPE", 1, "mm"), ("root_median", "root, median", 3, "m"), ("root_mean", "root, mean", 3, "m"),
    ("facing_median", "facing, median", 1, "degrees"), ("facing_flipped", "facing more than 90 degrees off", 3, ""),
    ("orientation_median", "orientation, median", 1, "degrees"), ("pcdr", "PCDR0.2", 3, ""), ("pck", "PCK 5 %", 3, ""),
    ("depth_error", "depth map, relative error", 3, ""), ("depth_iou", "depth map, IoU", 3, ""),
)  # fmt: skip
COLUMNS = {
    "name": ("", 0), "people": ("people", 0), "recall": ("recall", 3), "mve": ("MVE, mm", 0),
    "mpjpe": ("MPJPE, mm", 0), "pa_mpjpe": ("PA, mm", 0), "root_median": ("root, m", 2),
    "facing_median": ("facing, degrees", 0),
}  # fmt: skip


def write_page(
    folder: Path, report: Mapping[str, Any], pictures: Sequence[Any], predictions: Sequence[Prediction], body: Body
) -> Path:
    """Writes index.html and its pictures into `folder`; returns the path of the page.

    `report` is what `depthhmr evaluate --json` writes; pictures[i] is the sample of predictions[i], rendered again here.
    """
    page, scored = Page(folder), measure_people(predictions, body, report["threshold"])

    def figure(name: str, index: int, members: np.ndarray | None) -> str:
        marked = [] if members is None else scored.people["person"][members & (scored.people["image"] == index)]
        sheet = draw_sheet(pictures[index], predictions[index], body, report["threshold"], marked)
        return page.figure(name, sheet, f"seed {report['seeds'][0] + index}: {describe(scored, index)}")

    classes = (
        (f"{split}-{column}", f"by {split}: {name}", picture_errors(scored, members), members)
        for split, column, name, members in pictured_classes(scored)
    )
    page.ranked(picture_errors(scored), classes, figure, note=CAPTION)
    figures = [
        (label, f"{number(report[key], digits)} {unit}", between(report["intervals"].get(key), digits))
        for key, label, digits, unit in FIGURES
    ]
    counts = [(name, str(count)) for name, count in report["counts"].items()]
    splits = [split_table(name, rows, COLUMNS) for name, rows in report["splits"].items()]
    tables = [table(("", "", "95 % interval"), figures), table((), counts), *splits]
    return page.write(report["split"], report, LEGEND, tables)


def pictured_classes(scored: PersonScores) -> Iterator[tuple[str, int, str, np.ndarray]]:
    """Split, number and name of each class of PICTURED, and its people: bool[people]."""
    for split in PICTURED:
        column, edges = SPLITS[split]
        values = scored.people[column]
        for index, (low, high, name) in enumerate(edges):
            yield split, index, name, (values >= low) & (values < high)


def describe(scored: PersonScores, index: int) -> str:
    """The outcome of one picture in words, as HTML."""
    people = scored.people[scored.people["image"] == index]
    words = [_fate(row) for row in people]
    if scored.false[index]:
        words.append(f"{scored.false[index]} false")
    return "; ".join(words)


def _fate(row: np.void) -> str:
    if row["query"] < 0:
        return "missed" if np.isnan(row["distance"]) else f"missed at {row['distance']:.1f} m"
    if np.isnan(row["mve"]):
        return "found, no pose of this body to compare"
    facing = f", facing {row['facing']:.0f}&deg;" if "facing" in (row.dtype.names or ()) else ""
    return f"{1000 * row['mve']:.0f} mm, {row['root']:.2f} m off{facing}"


def draw_sheet(
    sample: Any, prediction: Prediction, body: Body, threshold: float, marked: np.ndarray | Sequence[int] = ()
) -> Image.Image:
    """The five panels of one picture side by side; the true people in `marked` get a frame in the first."""
    scale = PANEL / sample.rgb.shape[0]
    photo = Image.fromarray(sample.rgb).resize((PANEL, PANEL), Image.Resampling.BICUBIC)
    camera = Intrinsics(*(sample.intrinsics * scale).tolist())
    chosen = np.flatnonzero(prediction.scores >= threshold)
    true, true_joints = posed(body, sample.betas, sample.rotations, sample.translation)
    predicted, joints = posed(
        body, prediction.betas[chosen], prediction.rotations[chosen], prediction.translation[chosen]
    )
    colours, predicted_colours = matching_colours(prediction.joints_2d[chosen], sample.joints_2d)
    seen = true_joints[sample.visible > 0, 0, 2].tolist() + joints[:, 0, 2].tolist()
    all_joints = np.concatenate([true_joints, joints])
    sides = [TRUE] * len(true_joints) + [PREDICTED] * len(joints)
    panels = [
        framed(photo, scale * sample.boxes[np.asarray(marked, int)]),
        painted(photo, true, body, camera, colours),
        painted(photo, predicted, body, camera, predicted_colours),
        skeletons(photo, camera.project_clamped(all_joints), sides),
        from_above([Marks(all_joints, sides)], 1.2 * max([NEAREST_FAR_M, *seen]), PANEL, SLOPE),
    ]
    return side_by_side(panels)
