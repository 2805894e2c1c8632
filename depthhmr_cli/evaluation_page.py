"""The page of an evaluation: its tables, and its best, median and worst pictures, truth and prediction side by side."""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from bodykit.body import PARENTS, Body
from bodykit.camera import Intrinsics
from bodykit.palette import person_colours
from bodykit.skinning import pose_vertices
from depthhmr.answers import Answer
from depthhmr.evaluation import SPLITS
from depthhmr.judgement import Judgement, judge, picture_errors
from depthhmr.metrics import match_people
from service.overlay import draw_overlay

EACH = 6  # pictures in each of the three groups
PICTURED = ("distance", "height", "visible")  # splits of which every class shows its best, median and worst picture
PANEL = 320  # pixels
GAP = 8
TRUE, PREDICTED = (46, 204, 113), (255, 92, 138)  # green is true, pink is predicted, everywhere on the page
PAPER, INK, GRID = (250, 250, 248), (60, 60, 60), (222, 222, 216)

CAPTION = "picture | true people | predicted people | skeletons | from above, camera at the bottom"
FIGURES = (
    ("f1", "F1", 3, ""), ("precision", "precision", 3, ""), ("recall", "recall", 3, ""), ("mve", "MVE", 1, "mm"),
    ("nmve", "NMVE", 1, "mm"), ("mpjpe", "MPJPE", 1, "mm"), ("nmje", "NMJE", 1, "mm"),
    ("pa_mpjpe", "PA-MPJPE", 1, "mm"), ("root_median", "root, median", 3, "m"), ("root_mean", "root, mean", 3, "m"),
    ("facing_median", "facing, median", 1, "degrees"), ("facing_flipped", "facing more than 90 degrees off", 3, ""),
    ("orientation_median", "orientation, median", 1, "degrees"), ("pcdr", "PCDR0.2", 3, ""), ("pck", "PCK 5 %", 3, ""),
    ("depth_error", "depth map, relative error", 3, ""), ("depth_iou", "depth map, IoU", 3, ""),
)  # fmt: skip
COLUMNS = {
    "name": "", "people": "people", "recall": "recall", "mve": "MVE, mm", "mpjpe": "MPJPE, mm", "pa_mpjpe": "PA, mm",
    "root_median": "root, m", "facing_median": "facing, degrees",
}  # fmt: skip
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #333; background: #fff }
body { max-width: 1720px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse; margin: 0 2em 2em 0; display: inline-table; vertical-align: top }
td, th { padding: .15em .8em; text-align: right; border-bottom: 1px solid #e4e4e0; font-weight: normal }
td:first-child, th:first-child { text-align: left }  th { color: #888 }
figure { margin: 0 0 1.2em }  img { max-width: 100% }  figcaption { color: #666; font-size: 13px }
code { background: #f4f4f0; padding: .1em .3em }
"""


def write_page(
    folder: Path, report: Mapping[str, Any], pictures: Sequence[Any], answers: Sequence[Answer], body: Body
) -> Path:
    """Writes index.html and its pictures into `folder`; returns the path of the page.

    `report` is what `depthhmr evaluate --json` writes; pictures[i] is the sample of answers[i], rendered again here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    judgement = judge(answers, body, report["threshold"])
    errors = picture_errors(judgement)
    sections = []

    def figure(name: str, index: int, marked: np.ndarray | None = None) -> str:
        sheet = draw_sheet(pictures[index], answers[index], body, report["threshold"], marked)
        sheet.save(folder / f"{name}.png", optimize=True)
        note = f"seed {report['seeds'][0] + index}: {describe(judgement, index)}"
        return f'<figure><img src="{name}.png" alt="{name}"><figcaption>{note}</figcaption></figure>'

    for title, indices in choose(errors).items():
        figures = [figure(f"{title}-{rank}", index) for rank, index in enumerate(indices)]
        sections.append(f"<h2>{title}</h2>\n<p>{CAPTION}</p>\n" + "\n".join(figures))
    for split, column, name, members in classes(judgement):
        rows = []
        for title, indices in choose(picture_errors(judgement, members), 1).items():
            for index in indices:
                marked = judgement.people["person"][members & (judgement.people["image"] == index)]
                file = f"{split}-{column}-{title}"
                rows.append(f"<h4>{title}</h4>\n{figure(file, index, marked)}")
        sections.append(f"<h3>by {split}: {name}</h3>\n" + ("\n".join(rows) or "<p>nobody</p>"))
    page = folder / "index.html"
    page.write_text(_page(report, sections), encoding="utf-8")
    return page


def classes(judgement: Judgement) -> Iterator[tuple[str, int, str, np.ndarray]]:
    """Split, number and name of each class of PICTURED, and its people: bool[people]."""
    for split in PICTURED:
        column, edges = SPLITS[split]
        values = judgement.people[column]
        for number, (low, high, name) in enumerate(edges):
            yield split, number, name, (values >= low) & (values < high)


def choose(errors: np.ndarray, each: int = EACH) -> dict[str, list[int]]:
    """The indices of the best, the median and the worst pictures; those with nothing to judge (NaN) are left out."""
    order = np.argsort(errors, kind="stable")[: int((~np.isnan(errors)).sum())]
    middle = max((len(order) - each) // 2, 0)
    groups = {"best": order[:each], "median": order[middle : middle + each], "worst": order[::-1][:each]}
    return {title: indices.tolist() for title, indices in groups.items()}


def describe(judgement: Judgement, index: int) -> str:
    """What happened in one picture, in words."""
    people = judgement.people[judgement.people["image"] == index]
    words = [
        f"missed at {row['distance']:.1f} m"
        if row["query"] < 0
        else f"{1000 * row['mve']:.0f} mm, {row['root']:.2f} m off, facing {row['facing']:.0f}&deg;"
        for row in people
    ]
    if judgement.false[index]:
        words.append(f"{judgement.false[index]} false")
    return "; ".join(words)


def draw_sheet(
    sample: Any, answer: Answer, body: Body, threshold: float, marked: np.ndarray | None = None
) -> Image.Image:
    """The five panels of one picture, beside each other; the true people in `marked` get a frame in the first."""
    scale = PANEL / sample.rgb.shape[0]
    photo = Image.fromarray(sample.rgb).resize((PANEL, PANEL), Image.Resampling.BICUBIC)
    camera = Intrinsics(*(sample.intrinsics * scale).tolist())
    chosen = np.flatnonzero(answer.scores >= threshold)
    true, true_joints = _posed(body, sample.betas, sample.rotations, sample.translation)
    predicted, joints = _posed(body, answer.betas[chosen], answer.rotations[chosen], answer.translation[chosen])
    colours, predicted_colours = _matching_colours(answer.joints_2d[chosen], sample.joints_2d)
    seen = true_joints[sample.visible > 0, 0, 2].tolist() + joints[:, 0, 2].tolist()
    pixels = np.asarray(photo)
    panels = [
        _framed(photo, scale * sample.boxes[[] if marked is None else marked]),
        Image.fromarray(draw_overlay(pixels, true, body.faces, camera, colours=colours)),
        Image.fromarray(draw_overlay(pixels, predicted, body.faces, camera, colours=predicted_colours)),
        _skeletons(photo, camera, true_joints, joints),
        _from_above(true_joints, joints, 1.2 * max([3.0, *seen])),
    ]
    sheet = Image.new("RGB", (len(panels) * (PANEL + GAP) - GAP, PANEL), "white")
    for i, panel in enumerate(panels):
        sheet.paste(panel, (i * (PANEL + GAP), 0))
    return sheet


def _framed(photo: Image.Image, boxes: np.ndarray) -> Image.Image:
    canvas = photo.copy()
    draw = ImageDraw.Draw(canvas)
    for box in boxes.tolist():
        draw.rectangle(box, outline=TRUE, width=2)
    return canvas


def _matching_colours(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours of the true and of the predicted people: who was found has the same one on both sides."""
    matching = match_people(predicted, true)
    colours = person_colours(len(true) + len(predicted))
    index = len(true) + np.arange(len(predicted))
    index[matching.predicted] = matching.true
    return colours[: len(true)], colours[index]


def _posed(
    body: Body, betas: np.ndarray, rotations: np.ndarray, translation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if not len(betas):
        return np.zeros((0, len(body.template), 3), np.float32), np.zeros((0, len(PARENTS), 3), np.float32)
    return pose_vertices(body, betas, rotations, translation)


def _skeletons(photo: Image.Image, camera: Intrinsics, true: np.ndarray, predicted: np.ndarray) -> Image.Image:
    """Bones over the picture, drawn twice as large and shrunk: Pillow's lines have hard edges."""
    canvas = photo.resize((2 * PANEL, 2 * PANEL))
    draw = ImageDraw.Draw(canvas)
    for people, colour in ((true, TRUE), (predicted, PREDICTED)):
        for joints in people:
            pixels = 2 * camera.project(np.concatenate([joints[:, :2], np.maximum(joints[:, 2:], 0.05)], axis=1))
            for joint, parent in enumerate(PARENTS):
                if parent >= 0:
                    draw.line([*map(tuple, pixels[[parent, joint]].tolist())], fill=colour, width=5)
    return canvas.resize((PANEL, PANEL), Image.Resampling.LANCZOS)


def _from_above(true: np.ndarray, predicted: np.ndarray, far: float) -> Image.Image:
    """The floor plan x, z up to `far` metres: a dot for the pelvis and a line for the way the body looks."""
    unit = 2 * PANEL / far  # pixels per metre on the doubled canvas
    pointer = max(0.5, 32 / unit)  # metres; a line that is shorter than the dot says nothing

    def place(x: float, z: float) -> tuple[float, float]:
        return PANEL + x * unit, 2 * PANEL - z * unit

    canvas = Image.new("RGB", (2 * PANEL, 2 * PANEL), PAPER)
    draw = ImageDraw.Draw(canvas)
    step = 1 if far < 8 else 2 if far < 16 else 5
    for metres in range(step, math.ceil(far), step):
        draw.line([place(-far, metres), place(far, metres)], fill=GRID, width=2)
        draw.text((8, place(0, metres)[1] + 2), f"{metres} m", fill=INK, font_size=20)
    for side in (-1, 1):  # the edges of a view of 60 degrees
        draw.line([place(0, 0), place(side * far * math.tan(math.pi / 6), far)], fill=GRID, width=2)
    for people, colour in ((true, TRUE), (predicted, PREDICTED)):
        for joints in people:
            (x, z), ahead = joints[0, [0, 2]].tolist(), pointer * _chest_direction(joints)
            u, v = place(x, z)
            draw.line([(u, v), place(x + ahead[0], z + ahead[1])], fill=colour, width=5)
            draw.ellipse([u - 8, v - 8, u + 8, v + 8], fill=colour)
    return canvas.resize((PANEL, PANEL), Image.Resampling.LANCZOS)


def _chest_direction(joints: np.ndarray) -> np.ndarray:
    """Where the hips point on the floor plan, (x, z): across the line from the right hip to the left one, and up."""
    left, up = joints[1] - joints[2], joints[3] - joints[0]
    ahead = np.cross(left, up)[[0, 2]]
    return ahead / max(float(np.linalg.norm(ahead)), 1e-6)


def _page(report: Mapping[str, Any], sections: Sequence[str]) -> str:
    model, run = report["model"], report["run"]
    title = f"{model['name']} {model['version']} on {report['split']}"
    figures = "".join(
        f"<tr><td>{label}</td><td>{number(report[key], digits)} {unit}</td>"
        f"<td>{between(report['intervals'].get(key), digits)}</td></tr>"
        for key, label, digits, unit in FIGURES
    )
    counts = "".join(f"<tr><td>{name}</td><td>{count}</td></tr>" for name, count in report["counts"].items())
    splits = "".join(_split(name, rows) for name, rows in report["splits"].items())
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>
<h1>{html.escape(title)}</h1>
<p><code>{html.escape(run["command"])}</code>, {run["seconds"]} s; graph sha256 <code>{model["sha256"][:16]}</code>;
threshold {report["threshold"]:g}; <span style="color:rgb{TRUE}">&#9632;</span> true,
<span style="color:rgb{PREDICTED}">&#9632;</span> predicted</p>
<table><tr><th></th><th></th><th>95 % interval</th></tr>{figures}</table><table>{counts}</table>{splits}
{chr(10).join(sections)}
</html>
"""


def _split(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    head = "".join(f"<th>{title or f'by {name}'}</th>" for title in COLUMNS.values())
    digits = {"recall": 3, "root_median": 2}
    body = "".join(
        "<tr>" + "".join(f"<td>{number(row[column], digits.get(column, 0))}</td>" for column in COLUMNS) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def between(bounds: Sequence[Any] | None, digits: int) -> str:
    """An interval as HTML; nothing where there is none."""
    return " &ndash; ".join(number(bound, digits) for bound in bounds) if bounds else ""


def number(value: Any, digits: int) -> str:
    """A figure of a report as HTML; a dash for what is not known."""
    if value is None:
        return "&ndash;"
    return html.escape(value) if isinstance(value, str) else f"{value:.{digits}f}"
