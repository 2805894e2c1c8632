"""Depth Around Humans (paper, sec. 3.2): depth targets for people alone.

In order of trust (our reconstruction; the paper gives no details):

1. isolate: a z-buffer of the ground-truth meshes gives the person and the depth at each pixel;
2. refine: a monocular depth map of any network, known up to scale and shift, is fitted to that z-buffer, for the picture
   and then for each person. Where both agree, the map has the finer relief (hair, clothes); right beside a person it
   adds what sticks out; where it has something well in front of a trusted person, the person is hidden there; in all
   other disagreements the mesh wins;
3. pool: a cell of the network takes its nearest surface, never a mean of two people or of a person and a wall.

Depths are metres along the camera's axis, 0 without a person.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from bodykit.body import JOINT, SIDES, Body
from bodykit.camera import Intrinsics
from bodykit.raster import rasterise
from bodykit.skinning import pose_vertices

AGREE_M, AGREE_SHARE = (
    0.3,
    0.15,
)  # |map - mesh| up to which a map is trusted on a person: metres, and share of the depth
RELIEF_M = 0.03  # what clothes and hair add to a naked mesh: a noisier map cannot show them
REACH_M = 0.15  # beside a person, against the nearest pixel of the mesh
REACH_SHARE = 0.08  # how far beside a person: a share of the height of the mask
BLEND = 0.5  # share of the surroundings at the person's depth, from which on a map shows no outline
EDGE = 3  # pixels over which a map blurs a depth edge
TRUST = 0.5  # share of a person's pixels that must agree before the map may add or hide anything
MIN_PIXELS = 20  # of a mask, for a fit
MAX_PIXELS, TRIES = 600, 400  # of the search for the line that most pixels agree with
WILD = 0.04  # relative depth beyond which all pixels are equally wrong: about the relief of one person
FLAT = 0.3  # a scale of the map on a person below which its relief is noise
USUAL_SPREAD = (0.3, 0.08)  # usual deviation of a person's scale and shift from the picture's
SAME_SURFACE = 0.08  # relative depth: within the nearest surface of a cell
SAMPLES = 2  # the z-buffer is drawn with 2 x 2 samples per pixel
# Joints near the floor, which is as far away as the feet: nothing is added there.
LOWER_LEGS = [JOINT[f"{side}_{part}"] for part in ("knee", "ankle", "foot") for side in SIDES]


@dataclass(frozen=True)
class Isolated:
    """The visible person at each of S x S pixels."""

    depth: np.ndarray  # float32 [S, S] metres
    person: np.ndarray  # int16 [S, S] row of the person, -1 without one
    joint: np.ndarray  # int16 [S, S] the joint that moves the skin there most, -1 without one

    def within(self, inside: np.ndarray) -> "Isolated":
        """The same without people outside of `inside`, bool [S, S]: people reach into the padding, pictures do not."""
        depth = np.where(inside, self.depth, 0).astype(np.float32)
        empty = np.int16(-1)
        return Isolated(depth, np.where(inside, self.person, empty), np.where(inside, self.joint, empty))


@dataclass(frozen=True)
class Refined:
    """The target, and how the map was used."""

    depth: np.ndarray  # float32 [S, S] metres
    person: np.ndarray  # int16 [S, S]
    aligned: np.ndarray | None  # float32 [S, S] the map in metres; None when it was rejected for the whole picture
    trusted: np.ndarray  # bool [P] people for whom the map may add and hide


def isolate(
    body: Body, betas: np.ndarray, rotations: np.ndarray, pelvis: np.ndarray, camera: Intrinsics, size: int
) -> Isolated:
    """Draws P people (betas [P, 10], rotations [P, 24, 3, 3], pelvis [P, 3]) into a square of `size` pixels."""
    people, sides = len(betas), len(body.faces)
    if not people:
        empty = np.full((size, size), -1, np.int16)
        return Isolated(np.zeros((size, size), np.float32), empty, empty)
    vertices, _ = pose_vertices(body, betas, rotations, pelvis)
    faces = np.concatenate([body.faces + i * len(body.template) for i in range(people)])
    fine = Intrinsics(*(SAMPLES * value for value in (camera.fx, camera.fy, camera.cx, camera.cy)))
    raster = rasterise(vertices.reshape(-1, 3), faces, fine, SAMPLES * size, SAMPLES * size)
    face = _cells(raster.face, SAMPLES)  # [S, S, n]
    depth = _cells(raster.depth, SAMPLES)
    nearest = np.where(depth > 0, depth, np.inf).argmin(axis=-1)[..., None]
    seen = (face >= 0).sum(axis=-1) >= SAMPLES  # half of the samples
    pick = lambda values: np.take_along_axis(values, nearest, axis=-1)[..., 0]  # noqa: E731
    chosen = pick(face)
    moved_by = body.weight_index[body.faces[:, 0], 0]
    return Isolated(
        np.where(seen, pick(depth), 0).astype(np.float32),
        np.where(seen, chosen // sides, -1).astype(np.int16),
        np.where(seen, moved_by[np.maximum(chosen, 0) % sides], -1).astype(np.int16),
    )


def refine(isolated: Isolated, people: int, monocular: np.ndarray, *, inverse: bool) -> Refined:
    """Fits a monocular map [S, S] to the meshes and adopts its trusted parts.

    inverse: the map grows towards the camera (relative Depth Anything, MiDaS), else with the distance. Pixels where it is
    not finite (padding) are unknown.
    """
    depth, person = isolated.depth, isolated.person
    trusted = np.zeros(people, bool)
    fit = fit_picture(isolated, monocular, inverse)
    if fit is None:
        return Refined(depth, person, None, trusted)
    line = np.where(np.isfinite(monocular), fit[0] * monocular + fit[1], np.nan)
    aligned = metres(line, inverse)
    target, owner = depth.copy(), person.copy()
    for i in range(people):
        mask = person == i
        if (mask & np.isfinite(line)).sum() < MIN_PIXELS:
            continue
        own_line, scale = _fit_person(line, depth, mask, inverse)
        own = metres(own_line, inverse)
        error, limit = np.abs(own - depth), np.minimum(AGREE_M, AGREE_SHARE * depth)
        agree = mask & (error <= limit)
        trusted[i] = agree.sum() >= TRUST * mask.sum() and FLAT < scale < 1 / FLAT
        if not trusted[i]:
            continue
        noise = 1.4826 * float(np.median(error[agree]))
        belief = RELIEF_M**2 / (RELIEF_M**2 + noise**2)
        target[agree] += belief * (own - depth)[agree]
        hidden = _hidden(mask & (own < depth - np.maximum(limit, 2 * noise)), agree, own, limit)
        target[hidden], owner[hidden] = 0, -1
        beside = _beside(isolated, i, own)
        nearer = beside & ((target == 0) | (own < target))
        target[nearer], owner[nearer] = own[nearer], i
        aligned[mask | beside] = own[mask | beside]
    return Refined(target, owner, aligned, trusted)


def pool(depth: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Depth maps [..., S, S] to cells [..., S/stride, S/stride]: depth of the nearest surface, and the share that is human.

    The depth is the median of the pixels within 8 % of the nearest one: from one person, without stray pixels.
    """
    side = depth.shape[-1]
    if side % stride:
        raise ValueError(f"expected a stride that divides {side} pixels, got {stride}")
    cells = _cells(depth.astype(np.float32), stride)
    human = cells > 0
    nearest = np.where(human, cells, np.inf).min(axis=-1, keepdims=True)
    surface = human & (cells <= nearest * (1 + SAME_SURFACE))
    ordered = np.sort(np.where(surface, cells, np.inf), axis=-1)
    middle = np.maximum(surface.sum(axis=-1) - 1, 0) // 2
    median = np.take_along_axis(ordered, middle[..., None], axis=-1)[..., 0]
    return np.where(human.any(axis=-1), median, 0).astype(np.float32), human.mean(axis=-1, dtype=np.float32)


def _cells(values: np.ndarray, stride: int) -> np.ndarray:
    """[..., S, S] -> [..., S/stride, S/stride, stride * stride]."""
    *batch, height, width = values.shape
    split = values.reshape(*batch, height // stride, stride, width // stride, stride)
    return np.moveaxis(split, -3, -2).reshape(*batch, height // stride, width // stride, stride * stride)


def metres(line: np.ndarray, inverse: bool) -> np.ndarray:
    """The fitted map as metres; NaN behind the camera or at infinity."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = 1 / line if inverse else line
    return np.where(np.isfinite(z) & (z > 0) & (z < 1000), z, np.nan).astype(np.float32)


def fit_picture(isolated: Isolated, monocular: np.ndarray, inverse: bool) -> np.ndarray | None:
    """Scale and shift [2] of a map over all people, with equal weights; None if it does not show them."""
    person = isolated.person
    inner = ndimage.binary_erosion(person >= 0)  # at the outline maps are blurred and meshes lack clothes
    chosen = _enough(inner & np.isfinite(monocular), (person >= 0) & np.isfinite(monocular))
    if chosen.sum() < MIN_PIXELS:
        return None
    x, z = monocular[chosen].astype(np.float64), isolated.depth[chosen].astype(np.float64)
    target, relative = (1 / z, z) if inverse else (z, 1 / z)
    who = person[chosen]
    share = 1 / np.bincount(who)[who]
    start = _most_agreed(x, target, relative, share)
    if start is None:
        return None
    fit = _robust(np.stack([x, np.ones_like(x)], axis=1), target, relative, start, share=share / share.mean())
    return fit if fit[0] > 0 else None


def _enough(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return first if first.sum() >= MIN_PIXELS else second


def _most_agreed(x: np.ndarray, target: np.ndarray, relative: np.ndarray, share: np.ndarray) -> np.ndarray | None:
    """The rising line [2] through two pixels that most pixels agree with, of many tries; None for a flat or falling map.

    Least squares alone would be dominated by objects in front of people, which have the largest inverse depth.
    """
    rng = np.random.default_rng(0)
    some = rng.choice(len(x), min(MAX_PIXELS, len(x)), replace=False, p=share / share.sum())
    x, target, relative = x[some], target[some], relative[some]
    first, second = rng.integers(0, len(x), (2, TRIES))
    run, rise = x[first] - x[second], target[first] - target[second]
    rising = (np.abs(run) > 1e-6 * np.ptp(x)) & (rise * run > 0)
    if not rising.any():
        return None
    scale = rise[rising] / run[rising]
    shift = target[first[rising]] - scale * x[first[rising]]
    residual = np.abs(scale[:, None] * x + shift[:, None] - target) * relative
    best = np.minimum(residual, WILD).sum(axis=1).argmin()
    return np.array([scale[best], shift[best]])


def _fit_person(line: np.ndarray, depth: np.ndarray, mask: np.ndarray, inverse: bool) -> tuple[np.ndarray, float]:
    """The picture's fitted line [S, S], scaled and shifted again for one person, and that scale; 1 is no change."""
    chosen = _enough(ndimage.binary_erosion(mask) & np.isfinite(line), mask & np.isfinite(line))
    x, z = line[chosen].astype(np.float64), depth[chosen].astype(np.float64)
    target = 1 / z if inverse else z
    middle = float(np.median(target))
    # around the person's middle scale and shift do not compensate each other
    parts = np.stack([x - middle, np.full_like(x, middle)], axis=1)
    relative = z if inverse else 1 / z
    scale, shift = _robust(parts, target - middle, relative, np.array([1.0, 0.0]), usual=USUAL_SPREAD)
    return middle + scale * (line - middle) + shift * middle, float(scale)


def _robust(
    parts: np.ndarray, target: np.ndarray, relative: np.ndarray, start: np.ndarray,
    *, usual: tuple[float, ...] | None = None, share: np.ndarray | float = 1.0,
) -> np.ndarray:  # fmt: skip
    """Least squares of relative depth by iterated weights (Tukey's, scale from the median residual), from `start` [k] on.

    An error e of 1/z is a relative depth error of e z, one of z itself of e / z: `relative` [n] is that factor, so that near
    and far people count alike. `usual`: the usual distance of the solution from the start; None leaves it free. `share` [n]: the
    weight of a pixel, 1 on average.
    """
    solution = start
    for step in range(12):
        residual = np.abs(parts @ solution - target) * relative
        # from wide to narrow, as the start is rough
        limit = max(1e-3, 1.4826 * float(np.median(residual))) * max(3.0, 6.0 - step)
        root = np.clip(1 - np.square(residual / limit), 0, None) * relative * np.sqrt(share)
        rows, values = parts * root[:, None], target * root
        if usual is not None:
            # the start weighs as much as a twentieth of the pixels with their 5 % of noise
            strength = 0.05 * np.sqrt(0.05 * len(target)) / np.array(usual)
            rows = np.vstack([rows, np.diag(strength)])
            values = np.concatenate([values, strength * start])
        solution = np.linalg.lstsq(rows, values, rcond=None)[0]
    return solution


def _hidden(nearer: np.ndarray, agree: np.ndarray, own: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """The parts of `nearer` [S, S] that are an object in front of the person: the map jumps at their edge.

    A part that comes nearer gradually is a person whom the map bends.
    """
    hidden = np.zeros_like(nearer)
    # removes specks and keeps corners
    whole = ndimage.binary_propagation(ndimage.binary_opening(nearer), mask=nearer)
    parts, count = ndimage.label(whole)
    for part in range(1, count + 1):
        inside = parts == part
        outside = ndimage.binary_dilation(inside, iterations=EDGE) & agree
        edge = inside & ndimage.binary_dilation(outside, iterations=EDGE)
        if not outside.any() or np.median(own[outside]) - np.median(own[edge]) >= 0.5 * np.median(limit[inside]):
            hidden |= inside
    return hidden


def _beside(isolated: Isolated, i: int, own: np.ndarray) -> np.ndarray:
    """Pixels close to person i's mask at the depth of its nearest pixel: hair, clothes, bags. bool [S, S]."""
    mask = isolated.person == i
    rows = np.flatnonzero(mask.any(axis=1))
    reach = max(1.0, REACH_SHARE * (rows[-1] - rows[0] + 1))
    away, (row, column) = ndimage.distance_transform_edt(~mask, return_indices=True)
    from_legs = np.isin(isolated.joint[row, column], LOWER_LEGS)
    near = (away > 0) & (away <= reach) & ~from_legs
    same = near & (np.abs(own - isolated.depth[row, column]) <= REACH_M)
    if same.sum() > BLEND * near.sum():
        return np.zeros_like(mask)  # the map does not separate the person from the background
    grown = ndimage.binary_propagation(mask, mask=mask | same)  # only what is connected to the person
    return grown & ~mask
