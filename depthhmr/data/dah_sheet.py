"""Pictures of the DAH step: the map before, the meshes, the target after, and the cells that are learned."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from bodykit.body import JOINT, Body
from bodykit.camera import Intrinsics
from bodykit.letterbox import PAD_GREY
from depthhmr.data.dah import Isolated, Refined, fit_picture, isolate, metres, pool, refine
from depthhmr.synth.scene import Generator, Sample

GAP, HEAD = 4, 22
ANKLES = [JOINT["left_ankle"], JOINT["right_ankle"]]
PANELS = ("picture", "monocular depth", "fitted to the meshes", "meshes alone", "target", "cells, canonical depth")


@dataclass(frozen=True)
class Shown:
    """One row of the sheet."""

    rgb: np.ndarray  # uint8 [S, S, 3]
    camera: Intrinsics
    monocular: np.ndarray | None  # [S, S], as given
    inverse: bool
    isolated: Isolated
    refined: Refined


@dataclass(frozen=True)
class Score:
    """A human-only depth map against the rendered one."""

    overlap: float  # intersection over union of the human masks
    error_m: float  # mean absolute error over the pixels that are human in both


def sheet(rows: list[Shown], stride: int, scale: int = 1) -> Image.Image:
    """Six panels per row, all depths of a row in the same colours: near is bright."""
    side = rows[0].rgb.shape[0] * scale
    width = len(PANELS) * (side + GAP) - GAP
    page = Image.new("RGB", (width, HEAD + len(rows) * (side + GAP) - GAP), (255, 255, 255))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(12)
    for column, title in enumerate(PANELS):
        draw.text((column * (side + GAP), 4), title, fill=(30, 30, 30), font=font)
    for row, shown in enumerate(rows):
        for column, panel in enumerate(_panels(shown, stride)):
            tile = Image.fromarray(panel).resize((side, side), Image.Resampling.NEAREST)
            page.paste(tile, (column * (side + GAP), HEAD + row * (side + GAP)))
    return page


def _panels(shown: Shown, stride: int) -> list[np.ndarray]:
    size = shown.rgb.shape[0]
    people = shown.isolated.depth[shown.isolated.depth > 0]
    near, far = (people.min() * 0.9, people.max() * 1.15) if len(people) else (1.0, 10.0)
    blank = np.full((size, size, 3), 225, np.uint8)
    before = blank
    if shown.monocular is not None:
        values = shown.monocular if shown.inverse else -shown.monocular
        known = np.isfinite(values)
        low, high = np.percentile(values[known], (2, 98)) if known.any() else (0.0, 1.0)
        before = _colours(np.where(known, (values - low) / max(high - low, 1e-9), np.nan))
    in_colours = lambda depth: _colours(_nearness(depth, near, far))  # noqa: E731
    aligned = shown.refined.aligned
    cells, share = pool(shown.refined.depth, stride)
    canonical = cells * _to_canonical(shown.camera, size)
    shift = _to_canonical(shown.camera, size)
    cells_seen = _colours(_nearness(np.where(share >= 0.25, canonical, 0), near * shift, far * shift))
    return [
        shown.rgb,
        before,
        in_colours(np.nan_to_num(aligned)) if aligned is not None else blank,
        in_colours(shown.isolated.depth),
        in_colours(shown.refined.depth),
        cells_seen,
    ]


def _to_canonical(camera: Intrinsics, size: int) -> float:
    """What a depth is multiplied by to become canonical (depthhmr/network/depth.py)."""
    import torch

    from depthhmr.network.depth import canonical_log_shift

    return float(canonical_log_shift(torch.from_numpy(camera.array()), size).exp())


def _nearness(depth: np.ndarray, near: float, far: float) -> np.ndarray:
    """1 at `near`, 0.05 at `far` and beyond, NaN without a person."""
    with np.errstate(divide="ignore"):
        share = (1 / depth - 1 / far) / (1 / near - 1 / far)
    return np.where(depth > 0, np.clip(share, 0.05, 1), np.nan)


def _colours(share: np.ndarray) -> np.ndarray:
    """Shares 0 to 1 as colours from dark blue over red to yellow; NaN is grey. uint8 [S, S, 3]."""
    stops = np.array([[10, 10, 60], [90, 20, 120], [200, 50, 80], [250, 140, 40], [255, 245, 160]], float)
    place = np.clip(np.nan_to_num(share), 0, 1) * (len(stops) - 1)
    low = np.minimum(place.astype(int), len(stops) - 2)
    mixed = stops[low] + (stops[low + 1] - stops[low]) * (place - low)[..., None]
    return np.where(np.isnan(share)[..., None], 225, mixed).astype(np.uint8)


# -- a simulated monocular map --------------------------------------------------------------------------------------


def distorted(sample: Sample, isolated: Isolated, seed: int) -> np.ndarray:
    """A monocular depth map as a network might give it for a rendered scene, float32 [S, S], growing towards the camera.

    True inverse depth of people, of objects in front of them (where a mesh is hidden), of a floor and a wall; then the
    known weaknesses: edges are blurred, far people sink towards the background, slow waves of error, and unknown scale
    and shift.
    """
    rng = np.random.default_rng(seed)
    size = sample.rgb.shape[0]
    human = sample.depth > 0
    background = _behind(sample)
    with np.errstate(divide="ignore"):
        inverse = np.where(human, 1 / np.maximum(sample.depth, 1e-3), background)
    sink = np.clip((sample.depth - 4) / 8, 0, 0.6)  # from 4 m on
    inverse = np.where(human, inverse + (background - inverse) * sink, inverse)
    before = ndimage.binary_opening((isolated.person >= 0) & ~human)
    inverse[before] = rng.uniform(1.2, 2.2) / isolated.depth[before]
    inverse = ndimage.gaussian_filter(inverse, size / 110)
    waves = ndimage.zoom(rng.normal(0, 0.06, (4, 4)), size / 4, order=3)
    return (rng.uniform(20, 80) * inverse * (1 + waves) + rng.uniform(-2, 6)).astype(np.float32)


def _behind(sample: Sample) -> np.ndarray:
    """Inverse depth [S, S] of a floor that people stand on and a wall behind them, as their bodies indicate."""
    size = sample.rgb.shape[0]
    fx, fy, cx, cy = (float(value) for value in sample.intrinsics)
    joints = sample.joints_3d.astype(np.float64)
    down = np.median(joints[:, ANKLES].mean(axis=1) - joints[:, JOINT["neck"]], axis=0)  # from the necks to the ankles
    down /= np.linalg.norm(down)
    floor = max(float((joints @ down).max()), 0.3)  # metres from the camera, down to the lowest joint
    centres = np.arange(size) + 0.5
    x, y = (centres - cx) / fx, (centres - cy) / fy
    rays = down[0] * x[None, :] + down[1] * y[:, None] + down[2]
    return np.clip(rays / (floor + 0.1), 1 / (float(joints[:, 0, 2].max()) + 4), None)


def rehearse(body: Body, seeds: range, size: int) -> tuple[list[Shown], dict[str, Score]]:
    """The DAH step on rendered people, whose true depth is known with hair and clothes, and its scores.

    -> a row per picture with people in it, and the scores over all of them of the fitted map alone (people cut out of it
    by the meshes), of the meshes alone, and of the target.
    """
    generator = Generator(body, size)
    rows: list[Shown] = []
    true: list[np.ndarray] = []
    for seed in seeds:
        sample = generator.sample(seed)
        if not (sample.depth > 0).any():
            continue
        camera = Intrinsics(*(float(value) for value in sample.intrinsics))
        isolated = isolate(body, sample.betas, sample.rotations, sample.translation, camera, size)
        content = _content(sample.rgb)
        isolated = isolated.within(content)
        monocular = np.where(content, distorted(sample, isolated, seed), np.nan)
        refined = refine(isolated, sample.people, monocular, inverse=True)
        rows.append(Shown(sample.rgb, camera, monocular, True, isolated, refined))
        true.append(sample.depth)
    plain = [_plain_fit(row) for row in rows]
    kinds = {
        "map, fitted to the picture": plain,
        "meshes alone": [row.isolated.depth for row in rows],
        "target": [row.refined.depth for row in rows],
    }
    return rows, {name: score(maps, true) for name, maps in kinds.items()}


def _content(rgb: np.ndarray) -> np.ndarray:
    """Where a letterboxed picture is not padding, bool [S, S]."""
    painted = (rgb != PAD_GREY).any(axis=-1)
    rows, columns = painted.any(axis=1), painted.any(axis=0)
    return np.logical_and.outer(rows, columns)


def _plain_fit(row: Shown) -> np.ndarray:
    """The map with one scale and shift for the picture, inside the masks of the meshes: without the DAH step."""
    assert row.monocular is not None
    mask = row.isolated.person >= 0
    fit = fit_picture(row.isolated, row.monocular, row.inverse)
    if fit is None:
        return np.zeros_like(row.isolated.depth)
    return np.where(mask, np.nan_to_num(metres(fit[0] * row.monocular + fit[1], row.inverse)), 0)


def score(maps: list[np.ndarray], true: list[np.ndarray]) -> Score:
    ours, theirs = np.stack(maps), np.stack(true).astype(np.float32)
    both, either = (ours > 0) & (theirs > 0), (ours > 0) | (theirs > 0)
    return Score(float(both.sum() / max(either.sum(), 1)), float(np.abs(ours - theirs)[both].mean()))
