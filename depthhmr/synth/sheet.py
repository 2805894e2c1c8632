"""A contact sheet: pictures beside their labels."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw

from bodykit.body import JOINT_NAMES, PARENTS
from depthhmr.synth.scene import Sample

BONES = {"left": (90, 230, 90), "right": (240, 90, 90)}
TRUNK = (240, 240, 240)
VISIBLE = 0.1  # skeletons are drawn for people with at least this visible share


def contact_sheet(samples: list[Sample], *, columns: int = 8, labels: bool = True) -> Image.Image:
    """Pictures in rows of `columns`; with `labels`, below each row its depth, person ids and skeletons."""
    if not samples:
        raise ValueError("a contact sheet needs at least one picture")
    columns = min(columns, len(samples))
    rows = [samples[first : first + columns] for first in range(0, len(samples), columns)]
    side = samples[0].rgb.shape[0]
    panels = (show_rgb, show_depth, show_people, show_skeletons) if labels else (show_rgb,)
    sheet = Image.new("RGB", (columns * side, len(rows) * len(panels) * side), (30, 30, 30))
    for row, line in enumerate(rows):
        for number, panel in enumerate(panels):
            for column, sample in enumerate(line):
                place = (column * side, (row * len(panels) + number) * side)
                sheet.paste(Image.fromarray(panel(sample)), place)
    return sheet


def show_rgb(sample: Sample) -> np.ndarray:
    """The picture itself, uint8 [S, S, 3]."""
    return sample.rgb


def show_depth(sample: Sample) -> np.ndarray:
    """Near people bright, far ones dark, on a logarithmic scale from 1 to 20 metres."""
    near = 1 - np.log(np.maximum(sample.depth, 1)) / np.log(20)
    grey = np.where(sample.depth > 0, 50 + 205 * near.clip(0, 1), 0)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def show_people(sample: Sample) -> np.ndarray:
    """Every person in another colour."""
    colours = [(0.0, 0.0, 0.0)] + [colorsys.hsv_to_rgb(0.13 + 0.618 * i % 1, 0.65, 0.95) for i in range(sample.people)]
    return (np.array(colours) * 255).astype(np.uint8)[sample.person]


def show_skeletons(sample: Sample) -> np.ndarray:
    """Bones over the dimmed picture: left ones green, right ones red, the trunk white."""
    image = Image.fromarray(sample.rgb // 2)
    draw = ImageDraw.Draw(image)
    for person in np.nonzero(sample.visible >= VISIBLE)[0]:
        points = sample.joints_2d[person]
        for joint, parent in enumerate(PARENTS):
            if parent >= 0:
                side = JOINT_NAMES[joint].partition("_")[0]
                draw.line([tuple(points[parent]), tuple(points[joint])], fill=BONES.get(side, TRUNK))
    return np.asarray(image)
