"""The page of an evaluation on a public data set: predictions painted over its pictures, beside the labels.

The page contains the pictures, so their licence may forbid publishing it.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from bodykit.body import Body
from bodykit.camera import Intrinsics
from bodykit.palette import person_colours
from depthhmr.benchmarks.labelled import LAYER_JOINTS, layered, trimmed
from depthhmr.benchmarks.records import classes, ranking
from depthhmr.benchmarks.relative_human import STEPS, LayerRecords, layer_ranking
from depthhmr.data.picture import Person, Picture
from depthhmr.data.relative_human import AGES
from depthhmr.evaluation.metrics import joint_boxes
from depthhmr.evaluation.person_scores import PersonScores, picture_errors
from depthhmr.evaluation.photos import PhotoPrediction
from depthhmr_cli.evaluation_page import LEGEND, NEAREST_FAR_M, describe
from depthhmr_cli.page import PREDICTED, TRUE, Page, split_table, swatch, table
from depthhmr_cli.panels import (
    INK,
    Marks,
    framed,
    from_above,
    painted,
    paired_colours,
    posed,
    resized,
    side_by_side,
    skeletons,
)

HEIGHT = 300  # pixels of every panel
PICTURED = ("distance", "height", "occlusion")  # splits of which every class shows its best, median and worst picture
UNKNOWN_COLOUR = (150, 150, 150)  # predicted people that match no label
PEOPLE_CAPTION = "true people | predicted people | skeletons | from above, camera at the bottom"
LAYER_CAPTION = (
    "labels: layer (0 nearest) and age | predicted people | from above, camera at the bottom, with the labelled layers"
)
PEOPLE_COLUMNS = {
    "name": ("", 0), "people": ("people", 0), "recall": ("recall", 3), "mve": ("MVE, mm", 1),
    "mpjpe": ("MPJPE, mm", 1), "pa_mpjpe": ("PA, mm", 1), "root_median": ("root, m", 2),
}  # fmt: skip
Columns = Mapping[str, tuple[str, int]]
LAYER_COLUMNS = {
    "name": ("", 0), "people": ("people", 0), "recall": ("recall", 3), "pairs": ("pairs", 0), "right": ("right", 0),
    "pcdr": ("PCDR0.2", 3),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture with its labels, and the people that the network reports there."""

    picture: Picture
    prediction: PhotoPrediction

    @classmethod
    def of(cls, picture: Picture, prediction: PhotoPrediction, threshold: float) -> "Seen":
        """Kept until the page is drawn: without pixels, and without surfaces (80 KB each) except those of children, whose shape
        betas cannot give.
        """
        people = tuple(_light(person) for person in picture.people)
        return cls(replace(picture, people=people), trimmed(prediction, threshold))


def write_people_page(
    folder: Path,
    report: Mapping[str, Any],
    figures: Mapping[str, str],
    seen: Sequence[Seen],
    scored: PersonScores,
    body: Body,
) -> Path:
    """The page of AGORA or 3DPW with `figures` on top; seen[i] is picture i."""
    page, people = Page(folder, suffix="jpg"), scored.people

    groups = []
    for split in PICTURED:
        for number, (title, members) in enumerate(classes(people, split)):
            if members.any():
                compared = members & ((people["query"] < 0) | ~np.isnan(people["mve"]))
                groups.append((f"{split}-{number}", f"by {split}: {title}", picture_errors(scored, compared), members))
    figure = _figures(page, seen, people, body, draw_people, lambda index: describe(scored, index))
    page.ranked(ranking(scored), groups, figure, note=PEOPLE_CAPTION)
    return page.write(report["dataset"], report, LEGEND, _tables(report, figures, PEOPLE_COLUMNS))


def write_layer_page(
    folder: Path,
    report: Mapping[str, Any],
    figures: Mapping[str, str],
    seen: Sequence[Seen],
    scored: LayerRecords,
    body: Body,
) -> Path:
    """The page of Relative Human with `figures` on top; seen[i] is picture i."""
    page, people, pairs = Page(folder, suffix="jpg"), scored.people, scored.pairs

    def note(index: int) -> str:
        within = pairs[pairs["image"] == index]
        missed = int((people["query"][people["image"] == index] < 0).sum())
        return f"{within['right'].sum()} of {len(within)} pairs in order, {missed} missed"

    groups = []
    gaps = np.abs(pairs["layers"])
    for number, (low, high, title) in enumerate(STEPS):
        chosen = (gaps >= low) & (gaps <= high)
        groups.append((f"layers-{number}", f"by layers: {title}", np.zeros(len(people), bool), chosen))
    for number, title in enumerate(AGES):
        groups.append((f"age-{number}", f"by age: {title}", *scored.kinds("age", number)))
    ranked = (
        (
            file,
            title,
            layer_ranking(LayerRecords(people[who], pairs[which], scored.false)),
            _ends(scored, which),
        )
        for file, title, who, which in groups
        if who.any() or which.any()
    )
    figure = _figures(page, seen, people, body, draw_layers, note)
    page.ranked(layer_ranking(scored), ranked, figure, note=LAYER_CAPTION)
    legend = f"one colour for a labelled person and the prediction that matches, {swatch(UNKNOWN_COLOUR, 'others')}"
    return page.write(report["dataset"], report, legend, _tables(report, figures, LAYER_COLUMNS))


def _figures(
    page: Page,
    seen: Sequence[Seen],
    people: np.ndarray,
    body: Body,
    draw: Callable[[Seen, np.ndarray, Body, np.ndarray | Sequence[int]], Image.Image],
    note: Callable[[int], str],
) -> Callable[[str, int, np.ndarray | None], str]:
    """The callback of `Page.ranked` for a figure: name, picture, and the class (bool[people]) whose members get a frame."""

    def figure(name: str, index: int, members: np.ndarray | None) -> str:
        inside = people["image"] == index
        marked = [] if members is None else people["person"][members & inside]
        sheet = draw(seen[index], people[inside], body, marked)
        return page.figure(name, sheet, f"{html.escape(seen[index].picture.path.name)}: {note(index)}")

    return figure


def draw_people(seen: Seen, rows: np.ndarray, body: Body, marked: np.ndarray | Sequence[int] = ()) -> Image.Image:
    """The four panels of a picture; rows: its records. The true people in `marked` get a frame in the first.

    People who do not count have no record, and are drawn like all others.
    """
    pixels = seen.picture.pixels()
    photo, scale = resized(pixels, HEIGHT)
    camera = _scaled(seen.picture, pixels, scale)
    true = [person for person in seen.picture.people if person.pose is not None or _is_whole(person)]
    known = [person for person in true if person.pose is not None]
    surfaces, true_joints = _true(known, body)
    predicted, joints = _predicted(seen, body)
    found = rows[rows["query"] >= 0]
    colours, predicted_colours = paired_colours(len(true), len(predicted), found["person"], found["query"])
    of_known = np.array([person.pose is not None for person in true], bool)
    all_joints = np.concatenate([true_joints, joints])
    sides = [TRUE] * len(known) + [PREDICTED] * len(joints)
    flat = np.array([person.joints_2d for person in true]).reshape(-1, 24, 2) * scale
    lines = np.concatenate([flat, seen.prediction.joints_2d * scale])
    boxes = np.array([_box(flat[i]) for i in marked]).reshape(-1, 4)
    shown = [who.visible > 0 for who in known] + [True] * len(joints)
    depths = all_joints[np.array(shown, bool), 0, 2].tolist()
    panels = [
        framed(painted(photo, surfaces, body, camera, colours[of_known]), boxes),
        painted(photo, predicted, body, camera, predicted_colours),
        skeletons(photo, lines, [TRUE] * len(true) + [PREDICTED] * len(joints)),
        from_above([Marks(all_joints, sides)], 1.2 * max([NEAREST_FAR_M, *depths]), HEIGHT, _slope(camera, photo)),
    ]
    return side_by_side(panels)


def draw_layers(seen: Seen, rows: np.ndarray, body: Body, marked: np.ndarray | Sequence[int] = ()) -> Image.Image:
    """The three panels of a picture with layers; rows: its records. The labelled people in `marked` get a frame."""
    pixels = seen.picture.pixels()
    photo, scale = resized(pixels, HEIGHT)
    camera = _scaled(seen.picture, pixels, scale)
    people = layered(seen.picture)
    vertices, joints = _predicted(seen, body)
    colours = np.array([UNKNOWN_COLOUR] * len(vertices), np.uint8).reshape(-1, 3)
    words = ["-"] * len(vertices)
    palette = person_colours(len(people))
    for row in rows[rows["query"] >= 0]:
        colours[row["query"]] = palette[row["person"]]
        words[row["query"]] = _layer_name(int(row["layer"]))
    labels = _labels(photo, people, palette, scale, marked)
    far = 1.2 * max([NEAREST_FAR_M, *joints[:, 0, 2].tolist()])
    above = from_above([Marks(joints, colours.tolist(), words)], far, HEIGHT, _slope(camera, photo))
    return side_by_side([labels, painted(photo, vertices, body, camera, colours), above])


def _labels(
    photo: Image.Image, people: Sequence[Person], palette: np.ndarray, scale: float, marked: np.ndarray | Sequence[int]
) -> Image.Image:
    joints = np.array([person.joints_2d for person in people]).reshape(-1, 24, 2) * scale
    canvas = skeletons(photo, joints, palette.tolist())
    boxes = [_box(points) for points in joints[:, LAYER_JOINTS]]
    canvas = framed(canvas, np.array([boxes[i] for i in marked]).reshape(-1, 4))
    draw = ImageDraw.Draw(canvas)
    for person, points, box, colour in zip(people, joints, boxes, palette.tolist(), strict=True):
        for x, y in points[np.isfinite(points[:, 0])].tolist():
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=tuple(colour), outline="black")
        words = f"{_layer_name(person.layer)} {person.about.age or ''}".strip()
        place = (
            min(max(float(box[0]), 2.0), photo.width - 60.0),
            min(max(float(box[1]) - 18, 2.0), photo.height - 18.0),
        )
        draw.rectangle(draw.textbbox(place, words, font_size=13), fill="white")
        draw.text(place, words, fill=INK, font_size=13)
    return canvas


def _box(points: np.ndarray) -> np.ndarray:
    """x0, y0, x1, y1 around the points [N, 2] that are known; a corner of the picture if none is."""
    known = points[np.isfinite(points[:, 0])]
    return joint_boxes(known) if len(known) else np.zeros(4)


def _layer_name(layer: int) -> str:
    return "?" if layer < 0 else f"{layer}"


def _ends(scored: LayerRecords, which: np.ndarray) -> np.ndarray:
    """bool[people]: the people in these pairs."""
    pairs = scored.pairs[which]
    named = {(image, end) for side in ("first", "second") for image, end in pairs[["image", side]].tolist()}
    return np.array([who in named for who in scored.people[["image", "person"]].tolist()], bool)


def _light(person: Person) -> Person:
    if person.pose is None or person.pose.vertices is None or person.about.kid:
        return person
    return replace(person, pose=replace(person.pose, vertices=None))


def _is_whole(person: Person) -> bool:
    return bool(np.isfinite(person.joints_2d).all())


def _true(people: Sequence[Person], body: Body) -> tuple[np.ndarray, np.ndarray]:
    poses = [person.pose for person in people if person.pose is not None]
    betas = np.array([pose.betas for pose in poses], np.float32)
    rotations = np.array([pose.rotations for pose in poses], np.float32)
    joints = np.array([pose.joints_3d for pose in poses], np.float32)
    if not poses:
        return posed(body, betas, rotations, joints)
    vertices = posed(body, betas, rotations, joints[:, 0])[0]
    for row, pose in enumerate(poses):
        if pose.vertices is not None:
            vertices[row] = pose.vertices
    return vertices, joints


def _predicted(seen: Seen, body: Body) -> tuple[np.ndarray, np.ndarray]:
    outputs = seen.prediction.outputs
    return posed(body, outputs["betas"], outputs["rotations"], outputs["translation"])


def _scaled(picture: Picture, pixels: np.ndarray, scale: float) -> Intrinsics:
    """The camera of the picture, or the default one that the network got, in pixels of a panel."""
    camera = picture.intrinsics or Intrinsics.from_fov(pixels.shape[1], pixels.shape[0])
    return Intrinsics(*(camera.array() * scale).tolist())


def _slope(camera: Intrinsics, photo: Image.Image) -> float:
    return photo.width / 2 / camera.fx


def _tables(report: Mapping[str, Any], figures: Mapping[str, str], columns: Columns) -> list[str]:
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in report["notes"])
    top = table(("", ""), [(html.escape(name), html.escape(value)) for name, value in figures.items()])
    return [notes, top, *(split_table(name, rows, columns) for name, rows in report["splits"].items())]
