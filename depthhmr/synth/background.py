"""The background: floor, wall or sky, with the horizon of the camera."""

import numpy as np
from numba import njit

from depthhmr.synth.look import BLOBS, BRICKS, CHECKS, CLOUDS, CLUTTER, DOTS, PLAIN, STRIPES, TILES
from depthhmr.synth.texture import noise, pattern

PLACE = np.dtype(
    [
        ("floor", "f4", 3), ("floor2", "f4", 3), ("floor_pattern", "i4"), ("floor_size", "f4"), ("floor_turn", "f4"),
        ("wall", "f4", 3), ("wall2", "f4", 3), ("wall_pattern", "i4"), ("wall_size", "f4"),
        ("wall_distance", "f4"), ("wall_turn", "f4"),  # distance 0: outdoors
        ("sky", "f4", 3), ("haze", "f4", 3), ("trees", "f4", 3), ("tree_height", "f4"), ("tree_pattern", "i4"),
        ("grain", "f4"), ("seed", "f4"),
    ]
)  # fmt: skip
FLOORS = np.array([PLAIN, CLOUDS, CLOUDS, CLOUDS, BLOBS, STRIPES, TILES, TILES, BRICKS, CHECKS])
WALLS = np.array([PLAIN, PLAIN, PLAIN, CLOUDS, CLOUDS, STRIPES, BRICKS, TILES, BLOBS, DOTS, CHECKS, *[CLUTTER] * 4])
FAR = 100.0  # metres: sky, trees, and floor beyond
TREES = np.array([CLOUDS, BLOBS, BLOBS, TILES, CLUTTER, CLUTTER])


def sample_place(rng: np.random.Generator, farthest: float) -> np.ndarray:
    """Draws a room or an outdoor place whose wall, if any, is behind all people (`farthest` metres)."""
    place = np.zeros((), PLACE)
    outdoors = rng.random() < 0.45
    place["floor"] = _muted(rng, rng.uniform(0.12, 0.75), 0.6)
    if outdoors and rng.random() < 0.4:  # grass
        place["floor"] = np.array([0.34, 0.38, 0.22], np.float32) * rng.uniform(0.6, 1.4)
    place["floor2"] = (place["floor"] * rng.uniform(0.6, 1.35)).clip(0, 1)
    place["floor_pattern"] = FLOORS[rng.integers(len(FLOORS))]
    place["floor_size"] = np.exp(rng.uniform(np.log(0.1), np.log(1.2)))
    place["floor_turn"] = rng.uniform(0, np.pi)
    place["wall"] = _muted(rng, rng.uniform(0.15, 0.92))
    place["wall2"] = (place["wall"] * rng.uniform(0.55, 1.4) + rng.normal(0, 0.04, 3)).clip(0, 1)
    place["wall_pattern"] = WALLS[rng.integers(len(WALLS))]
    place["wall_size"] = np.exp(rng.uniform(np.log(0.1), np.log(1.5)))
    place["wall_distance"] = 0 if outdoors else farthest + 0.5 + np.exp(rng.uniform(np.log(0.2), np.log(6)))
    place["wall_turn"] = rng.normal(0, 0.25)
    place["sky"] = (
        np.array([0.45, 0.62, 0.85], np.float32) * rng.uniform(0.5, 1.15)
        if rng.random() < 0.5
        else rng.uniform(0.4, 0.97)
    )
    place["haze"] = 0.5 * place["sky"] + 0.5 * rng.uniform(0.5, 0.95)
    place["trees"] = _muted(rng, rng.uniform(0.1, 0.6))
    if rng.random() < 0.5:
        place["trees"] = np.array([0.20, 0.27, 0.13], np.float32) * rng.uniform(0.5, 1.6)
    place["tree_height"] = rng.uniform(0.0, 0.5) if rng.random() < 0.8 else 0
    place["tree_pattern"] = TREES[rng.integers(len(TREES))]
    place["grain"] = rng.uniform(0.05, 0.5)
    place["seed"] = rng.uniform(0, 50)
    return place


def _muted(rng: np.random.Generator, grey: float, strength: float = 1.0) -> np.ndarray:
    """A colour next to a grey."""
    tint = rng.normal(0, 1, 3)
    return (grey + (tint - tint.mean()) * strength * rng.choice((0.01, 0.03, 0.08))).clip(0.02, 0.97).astype(np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def level_ray(tilt, a, b):
    """The camera's ray (a, b, 1) in the level frame: tilt is level to camera, so its transpose leads back."""
    x = tilt[0, 0] * a + tilt[1, 0] * b + tilt[2, 0]
    y = tilt[0, 1] * a + tilt[1, 1] * b + tilt[2, 1]
    z = tilt[0, 2] * a + tilt[1, 2] * b + tilt[2, 2]
    return x, y, z


@njit(cache=True, nogil=True, error_model="numpy")
def floor_and_wall(place, wall_sine, wall_cosine, x, y, z, height):
    """Distances of floor and wall along a level ray, in units of the ray; 1e9 without a hit.

    A ray made of the camera's (a, b, 1) counts in metres of depth.
    """
    reach = 1e9
    if y > 1e-4:
        reach = height / y
    toward = x * wall_sine + z * wall_cosine
    wall = 1e9
    if place.wall_distance > 0 and toward > 1e-3:
        wall = place.wall_distance / toward
    return reach, wall


@njit(cache=True, nogil=True, error_model="numpy")
def measure(place, tilt, height, camera, box, inverse_depth, depth, whole):
    """Fills whole [S, S] with the depth of everything visible in the content box: people, props, floor, wall.

    `inverse_depth` [2S, 2S] is the raster of people and props, `depth` [S, S] that of people alone. Sky and trees, which
    are painted without a distance, are FAR.
    """
    fx, fy, cx, cy = camera[0], camera[1], camera[2], camera[3]
    wall_sine, wall_cosine = np.sin(place.wall_turn), np.cos(place.wall_turn)
    for row in range(box[1], box[3]):
        for column in range(box[0], box[2]):
            count, near = 0, 0.0
            for sample in range(4):
                value = inverse_depth[2 * row + (sample >> 1), 2 * column + (sample & 1)]
                if value > 0:
                    count += 1
                    near += value
            if depth[row, column] > 0:
                whole[row, column] = depth[row, column]
            elif count >= 2:
                whole[row, column] = count / near
            else:
                x, y, z = level_ray(tilt, (column + 0.5 - cx) / fx, (row + 0.5 - cy) / fy)
                reach, wall = floor_and_wall(place, wall_sine, wall_cosine, x, y, z, height)
                whole[row, column] = min(reach, wall, FAR)


@njit(cache=True, nogil=True, error_model="numpy")
def beyond_floor(place, tilt, height, camera, box):
    """Where in the content box [H, W] wall, trees or sky would be visible without people and props: bool [H, W]."""
    wall_sine, wall_cosine = np.sin(place.wall_turn), np.cos(place.wall_turn)
    result = np.zeros((box[3] - box[1], box[2] - box[0]), np.bool_)
    for row in range(result.shape[0]):
        for column in range(result.shape[1]):
            a, b = column + box[0] + 0.5 - camera[2], row + box[1] + 0.5 - camera[3]
            x, y, z = level_ray(tilt, a / camera[0], b / camera[1])
            reach, wall = floor_and_wall(place, wall_sine, wall_cosine, x, y, z, height)
            result[row, column] = wall < reach or reach > 1e8
    return result


@njit(cache=True, nogil=True, error_model="numpy")
def paint(place, tilt, height, camera, box, face, shade, tables, rgb):
    """Fills rgb [S, S, 3] (linear-ish 0..1) inside the content box; `shade` [S, S] 0..1 darkens the floor.

    Pixels whose four samples in `face` [2S, 2S] are all covered stay unchanged.
    """
    fx, fy, cx, cy = camera[0], camera[1], camera[2], camera[3]
    wall_sine, wall_cosine = np.sin(place.wall_turn), np.cos(place.wall_turn)
    floor_sine, floor_cosine = np.sin(place.floor_turn), np.cos(place.floor_turn)
    for row in range(box[1], box[3]):
        for column in range(box[0], box[2]):
            i, j = 2 * row, 2 * column
            if face[i, j] >= 0 and face[i, j + 1] >= 0 and face[i + 1, j] >= 0 and face[i + 1, j + 1] >= 0:
                continue
            x, y, z = level_ray(tilt, (column + 0.5 - cx) / fx, (row + 0.5 - cy) / fy)
            reach, wall = floor_and_wall(place, wall_sine, wall_cosine, x, y, z, height)
            if reach < wall and reach < 1e8:
                u, v = x * reach, z * reach
                s = (u * floor_cosine + v * floor_sine) / place.floor_size
                t = (v * floor_cosine - u * floor_sine) / place.floor_size
                # far patterns would alias
                fade = 1.0 / (1.0 + (reach / (14.0 * place.floor_size)) ** 2)
                mix = pattern(place.floor_pattern, s, t, tables, place.seed) * fade + 0.5 * (1 - fade)
                light = 1.0 + place.grain * (noise(tables[1], u * 0.13 + place.seed, v * 0.13) - 0.5)
                light *= 1.0 + 0.5 * place.grain * (noise(tables[3], u * 0.03, v * 0.03 + place.seed) - 0.5)
                light *= 1.0 - shade[row, column]
                far = 0.0
                if place.wall_distance == 0:
                    far = 1.0 - 1.0 / (1.0 + (reach / 60.0) ** 2)
                for c in range(3):
                    colour = (place.floor[c] * (1 - mix) + place.floor2[c] * mix) * light
                    rgb[row, column, c] = colour * (1 - far) + place.haze[c] * far
            elif wall < 1e8:
                u, v = (x * wall_cosine - z * wall_sine) * wall, y * wall - height
                mix = pattern(place.wall_pattern, u / place.wall_size, v / place.wall_size, tables, place.seed)
                light = 1.0 + place.grain * (noise(tables[3], u * 0.07 + place.seed, v * 0.07) - 0.5)
                light *= 1.0 + 0.4 * place.grain * (noise(tables[0], u * 0.4, v * 0.4 + place.seed) - 0.5)
                if v > -0.12:  # skirting
                    light *= 0.75
                for c in range(3):
                    rgb[row, column, c] = (place.wall[c] * (1 - mix) + place.wall2[c] * mix) * light
            else:
                azimuth = np.arctan2(x, max(z, 1e-3))
                up = -y / np.sqrt(x * x + z * z + 1e-6)
                edge = place.tree_height * (0.4 + 1.2 * noise(tables[3], azimuth * 0.5 + place.seed, 0.3))
                edge += 0.3 * place.tree_height * (noise(tables[1], azimuth * 1.5 + place.seed, 0.7) - 0.5)
                if up < edge:
                    mix = pattern(place.tree_pattern, azimuth * 12, up * 12, tables, place.seed)
                    light = 0.55 + 0.9 * noise(tables[1], azimuth * 0.8 + place.seed, up * 0.8)
                    for c in range(3):
                        rgb[row, column, c] = place.trees[c] * light * (1.0 - 0.45 * mix)
                else:
                    high = min(max(up, 0.0), 1.0)
                    cloud = noise(tables[4], azimuth * 0.4 + place.seed, up * 0.6)
                    for c in range(3):
                        colour = place.haze[c] * (1 - high) + place.sky[c] * high
                        rgb[row, column, c] = colour + (cloud - 0.5) * 0.3
