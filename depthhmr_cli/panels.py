"""The panels of evaluation pages: people painted, skeletons, the scene from above."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from bodykit.body import JOINT, PARENTS, Body
from bodykit.camera import Intrinsics
from bodykit.palette import person_colours
from bodykit.skinning import pose_vertices
from depthhmr.evaluation.metrics import match_people
from depthhmr_cli.page import TRUE
from service.formats.overlay import draw_overlay

GAP = 8  # pixels between panels
PAPER, INK, GRID = (250, 250, 248), (60, 60, 60), (222, 222, 216)
Colour = Sequence[int]


@dataclass(frozen=True, eq=False)
class Marks:
    """People from above, each with a colour and an optional word."""

    joints: np.ndarray  # [P, 24, 3] metres
    colours: Sequence[Colour]
    words: Sequence[str] = ()


def side_by_side(panels: Sequence[Image.Image]) -> Image.Image:
    """Panels of one height."""
    width = sum(panel.width for panel in panels) + GAP * (len(panels) - 1)
    sheet, left = Image.new("RGB", (width, panels[0].height), "white"), 0
    for panel in panels:
        sheet.paste(panel, (left, 0))
        left += panel.width + GAP
    return sheet


def resized(pixels: np.ndarray, height: int) -> tuple[Image.Image, float]:
    """The picture uint8[H, W, 3] at another height, and its pixels per pixel before."""
    scale = height / pixels.shape[0]
    size = max(1, round(pixels.shape[1] * scale)), height
    return Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS), scale


def painted(
    photo: Image.Image, vertices: np.ndarray, body: Body, camera: Intrinsics, colours: np.ndarray | None = None
) -> Image.Image:
    """The photo with people [P, V, 3] over it."""
    if not len(vertices):
        return photo
    return Image.fromarray(draw_overlay(np.asarray(photo), vertices, body.faces, camera, colours=colours))


def framed(photo: Image.Image, boxes: np.ndarray) -> Image.Image:
    """The photo with frames x0, y0, x1, y1 [N, 4] in the colour of the truth."""
    canvas = photo.copy()
    draw = ImageDraw.Draw(canvas)
    for box in boxes.tolist():
        draw.rectangle(box, outline=TRUE, width=2)
    return canvas


def skeletons(
    photo: Image.Image, people: np.ndarray, colours: Sequence[Colour], points: np.ndarray | None = None
) -> Image.Image:
    """Bones of people [P, 24, 2] and labelled points [N, 2] over the photo; joints that are NaN are skipped.

    Drawn twice as large and shrunk: Pillow's lines have hard edges.
    """
    canvas = photo.resize((2 * photo.width, 2 * photo.height))
    draw = ImageDraw.Draw(canvas)
    for joints, colour in zip(2 * people, colours, strict=True):
        for joint, parent in enumerate(PARENTS):
            if parent >= 0 and np.isfinite(joints[[parent, joint]]).all():
                draw.line([*map(tuple, joints[[parent, joint]].tolist())], fill=tuple(colour), width=5)
    for x, y in [] if points is None else (2 * points[np.isfinite(points[:, 0])]).tolist():
        draw.ellipse([x - 7, y - 7, x + 7, y + 7], fill=TRUE, outline="black", width=2)
    return canvas.resize(photo.size, Image.Resampling.LANCZOS)


def from_above(groups: Sequence[Marks], far: float, side: int, slope: float) -> Image.Image:
    """The floor plan x, z up to `far` metres, `side` pixels wide: a dot for the pelvis and a line for the facing
    of the body. slope: x / z at the edges of the view.
    """
    unit = 2 * side / far  # pixels per metre on the doubled canvas
    pointer = max(0.5, 32 / unit)  # metres; a line shorter than the dot is not visible

    def place(x: float, z: float) -> tuple[float, float]:
        return side + x * unit, 2 * side - z * unit

    canvas = Image.new("RGB", (2 * side, 2 * side), PAPER)
    draw = ImageDraw.Draw(canvas)
    step = 1 if far < 8 else 2 if far < 16 else 5 if far < 40 else 20
    for metres in range(step, math.ceil(far), step):
        draw.line([place(-far, metres), place(far, metres)], fill=GRID, width=2)
        draw.text((8, place(0, metres)[1] + 2), f"{metres} m", fill=INK, font_size=20)
    for edge in (-1, 1):
        draw.line([place(0, 0), place(edge * far * slope, far)], fill=GRID, width=2)
    for group in groups:
        for i, joints in enumerate(group.joints):
            colour = tuple(group.colours[i])
            (x, z), ahead = joints[0, [0, 2]].tolist(), pointer * _chest_direction(joints)
            u, v = place(x, z)
            draw.line([(u, v), place(x + ahead[0], z + ahead[1])], fill=colour, width=5)
            draw.ellipse([u - 8, v - 8, u + 8, v + 8], fill=colour)
            if group.words:
                draw.text((u + 14, v - 14), group.words[i], fill=INK, font_size=26)
    return canvas.resize((side, side), Image.Resampling.LANCZOS)


def matching_colours(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours of the true and of the predicted people: a found person has the same one on both sides."""
    matching = match_people(predicted, true)
    return paired_colours(len(true), len(predicted), matching.true, matching.predicted)


def paired_colours(
    true: int, predicted: int, of_true: np.ndarray, of_predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colours of `true` true and `predicted` predicted people, given the matched indices."""
    colours = person_colours(true + predicted)
    index = true + np.arange(predicted)
    index[of_predicted] = of_true
    return colours[:true], colours[index]


def posed(
    body: Body, betas: np.ndarray, rotations: np.ndarray, translation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [P, V, 3] and joints [P, 24, 3], for zero people as well."""
    if not len(betas):
        return np.zeros((0, len(body.template), 3), np.float32), np.zeros((0, len(PARENTS), 3), np.float32)
    return pose_vertices(body, betas, rotations, translation)


def _chest_direction(joints: np.ndarray) -> np.ndarray:
    """Facing of the hips on the floor plan, (x, z): perpendicular to the line from the right hip to the left one, and to up."""
    left, up = joints[JOINT["left_hip"]] - joints[JOINT["right_hip"]], joints[JOINT["spine1"]] - joints[JOINT["pelvis"]]
    ahead = np.cross(left, up)[[0, 2]]
    return ahead / max(float(np.linalg.norm(ahead)), 1e-6)
