"""Augmentation of training samples: moves, turns, colours, covered parts, blur; and mosaics of photos.

Works on the arrays of a shard (depthhmr/data/shards.py and depthhmr/data/pack.py) with a leading axis of B samples, in place of
the batch: `augment(pool.draw(rng, 32), rng, AUGMENT)`. Camera and people follow the pixels: a zoom changes the focal
length, a crop the principal point, and a turn about the principal axis turns the people. batch.py mirrors.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from bodykit.camera import NEAR_M, Intrinsics
from bodykit.letterbox import PAD_GREY

Arrays = dict[str, np.ndarray]
PADDING = (PAD_GREY,) * 3


@dataclass(frozen=True)
class Augment:
    """Probabilities, per sample if not stated otherwise, and ranges. These follow SAT-HMR: +-15 degrees, scale 0.8 to 1.8,
    colour 0.2, patches of at most 0.3 of a person."""

    move: float = 0.7
    turn_degrees: float = 15.0
    scale: tuple[float, float] = (0.8, 1.8)
    colour: float = 0.8
    colour_range: float = 0.2
    grey: float = 0.05
    cover: float = 0.3  # per person
    cover_share: float = 0.3  # of the person's box, at most
    blur: float = 0.15
    jpeg: float = 0.3
    mosaic: float = 0.4  # of the photos in which one person is labelled in 2D alone
    mosaic_margin: tuple[float, float] = (1.3, 2.4)  # side of a tile's crop over that of the person's box


def augment(arrays: Arrays, rng: np.random.Generator, config: Augment) -> Arrays:
    """An augmented copy of B samples."""
    arrays = dict(arrays)
    samples, size = len(arrays["rgb"]), arrays["rgb"].shape[1]
    arrays = mosaic(arrays, rng, config)
    chosen = rng.random(samples) < config.move
    radians = np.radians(rng.uniform(-config.turn_degrees, config.turn_degrees, samples)) * chosen
    low, high = np.log(config.scale)
    scale = np.where(chosen, np.exp(rng.uniform(low, high, samples)), 1.0)
    arrays = move(arrays, radians, scale, _shifts(arrays, scale, size, rng))
    arrays = cover(arrays, rng, config)
    return recolour(arrays, rng, config)


# -- geometry---------------------------------------------------------------------------------------------------------


def move(arrays: Arrays, radians: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> Arrays:
    """Turns every picture about its principal point, then maps pixel u to scale * u + shift.

    radians [B] (clockwise on the picture), scale [B], shift [B, 2] pixels. Depths stay, as a zoom changes the focal length.
    `visible` falls by the share of a person's joints that leave the picture.
    """
    changed = (radians != 0) | (scale != 1) | (shift != 0).any(axis=1)
    if not changed.any():
        return arrays
    arrays = dict(arrays)
    before = _inside(arrays)
    matrix = _pixel_matrix(arrays["intrinsics"], radians, scale, shift)  # [B, 2, 3]
    arrays["rgb"], arrays["depth"] = _warped(arrays["rgb"], arrays["depth"], matrix, changed)
    intrinsics = arrays["intrinsics"] * scale[:, None]
    intrinsics[:, 2:] += shift
    arrays["intrinsics"] = intrinsics.astype(np.float32)
    turn = _turn(radians).astype(np.float32)  # [B, 3, 3]
    rotations = arrays["rotations"].copy()
    rotations[:, :, 0] = turn[:, None] @ rotations[:, :, 0]
    arrays["rotations"] = rotations
    arrays["joints_3d"] = np.einsum("bij,bpkj->bpki", turn, arrays["joints_3d"])
    if "joints_2d" in arrays:
        given = arrays["joints_2d"].any(axis=-1, keepdims=True)  # 0, 0: no label
        moved = np.einsum("bij,bpkj->bpki", matrix[..., :2], arrays["joints_2d"]) + matrix[:, None, None, :, 2]
        arrays["joints_2d"] = np.where(given, moved, 0).astype(np.float32)
    left = (before & _inside(arrays)).sum(axis=-1) / np.maximum(before.sum(axis=-1), 1)
    arrays["visible"] = np.where(before.any(axis=-1), arrays["visible"] * left, arrays["visible"]).astype(np.float32)
    return arrays


def joint_pixels(arrays: Arrays) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [B, P, 24, 2] of all joints, and which of them are known, bool [B, P, 24]."""
    joints = arrays["joints_3d"]
    f, c = arrays["intrinsics"][:, None, None, :2], arrays["intrinsics"][:, None, None, 2:]
    pixels = joints[..., :2] / np.maximum(joints[..., 2:], NEAR_M) * f + c
    people = np.arange(joints.shape[1]) < arrays["count"][:, None]
    solid = arrays.get("known_3d", np.ones(people.shape, bool)) & people
    known = np.broadcast_to(solid[..., None], joints.shape[:3])
    if "joints_2d" in arrays:
        given = arrays["joints_2d"].any(axis=-1) & people[..., None]
        pixels = np.where(known[..., None], pixels, arrays["joints_2d"])
        known = known | given
    return pixels, known


def _inside(arrays: Arrays) -> np.ndarray:
    """Which known joints lie in the picture, bool [B, P, 24]."""
    pixels, known = joint_pixels(arrays)
    size = arrays["rgb"].shape[1]
    return known & ((pixels > 0) & (pixels < size)).all(axis=-1)


def _shifts(arrays: Arrays, scale: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Offset of the scaled picture [B, 2]: anywhere inside the square, or cropped around a person where possible."""
    free = size * (1 - scale)[:, None]  # positive: room to move; negative: what is cropped
    shift = free * rng.random((len(scale), 2))
    pixels, known = joint_pixels(arrays)
    for row in np.flatnonzero(scale > 1):
        people = np.flatnonzero(known[row].any(axis=-1))
        if len(people):
            who = rng.choice(people)
            middle = pixels[row, who][known[row, who]].mean(axis=0)
            target = size * rng.uniform(0.3, 0.7, 2)
            shift[row] = np.clip(target - scale[row] * middle, free[row], 0)
    return np.where(scale[:, None] == 1, 0, shift)


def _turn(radians: np.ndarray) -> np.ndarray:
    """Rotations [B, 3, 3] about the camera's axis."""
    turn = np.zeros((len(radians), 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(radians)
    turn[:, 1, 0] = np.sin(radians)
    turn[:, 0, 1] = -turn[:, 1, 0]
    turn[:, 2, 2] = 1
    return turn


def _pixel_matrix(intrinsics: np.ndarray, radians: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Old pixels to new ones, [B, 2, 3]: K R K^-1, then the scale and shift."""
    focal, centre = intrinsics[:, :2].astype(np.float64), intrinsics[:, 2:].astype(np.float64)
    linear = _turn(radians)[:, :2, :2] * focal[:, :, None] / focal[:, None, :]
    offset = centre - np.einsum("bij,bj->bi", linear, centre)
    return np.concatenate([linear, offset[..., None]], axis=2) * scale[:, None, None] + np.pad(
        shift[..., None], ((0, 0), (0, 0), (2, 0))
    )


def _warped(rgb: np.ndarray, depth: np.ndarray, matrix: np.ndarray, changed: np.ndarray) -> tuple[np.ndarray, ...]:
    """The moved pictures and depth maps; from outside come padding and no depth."""
    rgb, depth = rgb.copy(), depth.copy()
    for row in np.flatnonzero(changed):
        full = np.vstack([matrix[row], [0, 0, 1]])
        back = tuple(np.linalg.inv(full)[:2].ravel())
        side = rgb.shape[1], rgb.shape[2]
        picture = Image.fromarray(rgb[row]).transform(
            side, Image.Transform.AFFINE, back, Image.Resampling.BILINEAR, fillcolor=PADDING
        )
        rgb[row] = np.asarray(picture)
        if depth[row].any():
            plane = Image.fromarray(depth[row].astype(np.float32))
            moved = plane.transform(side, Image.Transform.AFFINE, back, Image.Resampling.NEAREST, fillcolor=0)
            depth[row] = np.asarray(moved).astype(depth.dtype)
    return rgb, depth


# -- mosaics of photos ------------------------------------------------------------------------------------------------


def mosaic(arrays: Arrays, rng: np.random.Generator, config: Augment) -> Arrays:
    """Some photos of one person become two or four crops side by side: several people, each with 2D joints.

    Only photos without any 3D or metric label, as the tiles share no camera but the default one.
    """
    if "joints_2d" not in arrays or config.mosaic <= 0:
        return arrays
    loose = (arrays["count"] == 1) & ~arrays["known_3d"].any(axis=1) & ~arrays["metric"] & ~arrays["known_depth"]
    loose &= arrays["known_2d"][:, 0].any(axis=-1)
    rows = np.flatnonzero(loose)
    chosen = rows[rng.random(len(rows)) < config.mosaic]
    if len(rows) < 2 or not len(chosen):
        return arrays
    size = arrays["rgb"].shape[1]
    per_person = [name for name, values in arrays.items() if values.ndim >= 2 and name in PER_PERSON]
    old, arrays = arrays, {name: values.copy() for name, values in arrays.items()}
    for row in chosen:
        tiles = _tiles(size, rng)
        others = rng.choice(rows[rows != row], min(len(tiles), len(rows)) - 1, replace=False)
        sources = [row, *others]
        tiles = tiles[: len(sources)]
        arrays["rgb"][row] = PAD_GREY
        for place, (source, tile) in enumerate(zip(sources, tiles, strict=True)):
            for name in per_person:
                arrays[name][row, place] = old[name][source, 0]
            picture, joints = _tile(old, source, tile, rng, config)
            left, top, width, height = tile
            arrays["rgb"][row, top : top + height, left : left + width] = picture
            arrays["joints_2d"][row, place] = joints
        arrays["count"][row] = len(tiles)
        arrays["layer"][row] = -1  # layers of different photos cannot be compared
        arrays["everyone"][row] = old["everyone"][sources].all()
        arrays["intrinsics"][row] = Intrinsics.from_fov(size, size).array()
    return arrays


PER_PERSON = ("visible", "rotations", "betas", "joints_3d", "joints_2d", "known_2d", "known_3d", "layer")


def _tiles(size: int, rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Left, top, width and height of two or four tiles, in random order."""
    half = size // 2
    layouts = [
        [(0, 0, half, size), (half, 0, size - half, size)],
        [(0, 0, size, half), (0, half, size, size - half)],
        [(x, y, half or 1, half or 1) for x in (0, size - half) for y in (0, size - half)],
    ]
    layout = layouts[rng.choice(3, p=(0.5, 0.15, 0.35))]
    return [layout[i] for i in rng.permutation(len(layout))]


def _tile(
    arrays: Arrays, source: int, tile: tuple[int, int, int, int], rng: np.random.Generator, config: Augment
) -> tuple[np.ndarray, np.ndarray]:
    """A crop around the person of a photo, resized to a tile: its pixels, and the person's joints [24, 2]."""
    left, top, width, height = tile
    joints = arrays["joints_2d"][source, 0].astype(np.float64)
    given = joints.any(axis=-1)
    low, high = joints[given].min(axis=0), joints[given].max(axis=0)
    extent = np.maximum(high - low, 8)
    scale = float(min(width / extent[0], height / extent[1]) / rng.uniform(*config.mosaic_margin))
    window = np.array([width, height]) / scale
    corner = (low + high) / 2 - window / 2 + rng.uniform(-0.5, 0.5, 2) * np.maximum(window - 1.2 * extent, 0)
    back = (1 / scale, 0, corner[0], 0, 1 / scale, corner[1])
    picture = Image.fromarray(arrays["rgb"][source])
    if scale < 0.75:  # against aliasing
        picture = picture.filter(ImageFilter.GaussianBlur(0.4 / scale))
    crop = picture.transform(
        (width, height), Image.Transform.AFFINE, back, Image.Resampling.BILINEAR, fillcolor=PADDING
    )
    moved = (joints - corner) * scale + (left, top)
    return np.asarray(crop), np.where(given[:, None], moved, 0).astype(np.float32)


# -- appearance---------------------------------------------------------------------------------------------------------


def cover(arrays: Arrays, rng: np.random.Generator, config: Augment) -> Arrays:
    """Cloudy patches in front of some people. The depth map loses the hidden pixels, `visible` the share of hidden joints."""
    pixels, known = joint_pixels(arrays)
    size = arrays["rgb"].shape[1]
    seen = known & ((pixels > 0) & (pixels < size)).all(axis=-1)
    chosen = seen.any(axis=-1) & (rng.random(seen.shape[:2]) < config.cover)
    if not chosen.any():
        return arrays
    arrays = dict(arrays)
    rgb, depth = arrays["rgb"].copy(), arrays["depth"].copy()
    hidden = np.zeros(seen.shape, bool)
    for row, who in zip(*np.nonzero(chosen), strict=True):
        points = pixels[row, who][seen[row, who]]
        low, extent = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 6)
        aspect = np.exp(rng.uniform(-0.7, 0.7))
        patch = extent * np.sqrt(config.cover_share * rng.uniform(0.15, 1)) * (aspect, 1 / aspect)
        corner = low + rng.uniform(-0.2, 1, 2) * np.maximum(extent - 0.5 * patch, 1)
        x0, y0 = np.clip(corner, 0, size).astype(int)
        x1, y1 = np.clip(corner + patch, 0, size).astype(int)
        if x1 <= x0 or y1 <= y0:
            continue
        rgb[row, y0:y1, x0:x1] = _cloud(x1 - x0, y1 - y0, rng)
        depth[row, y0:y1, x0:x1] = 0
        hidden[row] |= ((pixels[row] >= (x0, y0)) & (pixels[row] < (x1, y1))).all(axis=-1)
    left = 1 - (hidden & seen).sum(axis=-1) / np.maximum(seen.sum(axis=-1), 1)
    arrays["rgb"], arrays["depth"] = rgb, depth
    arrays["visible"] = (arrays["visible"] * left).astype(np.float32)
    return arrays


def _cloud(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """A patch of one slowly varying colour, uint8 [height, width, 3]. Patches of other pictures could contain people."""
    coarse = rng.uniform(0, 255, 3) + rng.normal(0, rng.uniform(5, 50), (rng.integers(2, 7), rng.integers(2, 7), 1))
    small = Image.fromarray(coarse.clip(0, 255).astype(np.uint8))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def recolour(arrays: Arrays, rng: np.random.Generator, config: Augment) -> Arrays:
    """Light and camera: gain, contrast, saturation, tint, gamma; blur and JPEG. Padding keeps its grey."""
    arrays = dict(arrays)
    rgb = arrays["rgb"].copy()
    for row, given in enumerate(arrays["rgb"]):
        picture = given
        if rng.random() < config.colour:
            picture = _recoloured(picture, rng, config)
        if rng.random() < config.blur:
            radius = float(rng.uniform(0.3, 1.2)) * rgb.shape[1] / 192
            picture = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))
        if rng.random() < config.jpeg:
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, "JPEG", quality=int(rng.integers(25, 90)))
            picture = np.asarray(Image.open(buffer))
        rgb[row] = np.where((given == PAD_GREY).all(axis=-1, keepdims=True), given, picture)
    arrays["rgb"] = rgb
    return arrays


def _recoloured(picture: np.ndarray, rng: np.random.Generator, config: Augment) -> np.ndarray:
    """Gamma, gain and tint by a table, contrast and saturation by a matrix: both run in C."""
    spread = config.colour_range
    gain, contrast, saturation = 1 + rng.uniform(-spread, spread, 3)
    tint = 1 + rng.uniform(-0.3, 0.3, 3) * spread
    gamma = np.exp(rng.uniform(-spread, spread))
    if rng.random() < config.grey:
        saturation = 0.0
    curve = (np.arange(256) / 255) ** gamma * gain * 255
    table = (curve * tint[:, None]).round().clip(0, 255).astype(int).ravel()
    image = Image.fromarray(picture).point(table.tolist())
    weights = np.array([0.299, 0.587, 0.114])  # of brightness
    middle = float(np.asarray(image.resize((1, 1), Image.Resampling.BOX))[0, 0] @ weights)
    matrix = contrast * (saturation * np.eye(3) + (1 - saturation) * weights)
    rows = np.concatenate([matrix, np.full((3, 1), middle * (1 - contrast))], axis=1)
    return np.asarray(image.convert("RGB", tuple(rows.ravel().tolist())))
