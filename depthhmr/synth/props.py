"""Props: boxes, posts and bushes, alone or combined as furniture, in front of and behind people.

A prop has a depth, so it occludes and is occluded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from depthhmr.synth.camera import Lenses
from depthhmr.synth.crowd import Crowd
from depthhmr.synth.look import BLOBS, BRICKS, CHECKS, CLOUDS, CLUTTER, DOTS, PLAIN, STRIPES, TILES

SURFACE = np.dtype([("first", "f4", 3), ("second", "f4", 3), ("pattern", "i4"), ("size", "f4"), ("seed", "f4")])
PATTERNS = np.array(
    [PLAIN] * 8 + [CLOUDS] * 4 + [STRIPES, STRIPES, CHECKS, BRICKS, TILES, BLOBS, DOTS, CLUTTER, CLUTTER]
)


@dataclass(frozen=True)
class Shape:
    """A mesh of unit size around the origin, with normals and two surface coordinates per vertex."""

    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray


@dataclass(frozen=True)
class Props:
    """All props of a picture as one mesh in the level frame (metres)."""

    vertices: np.ndarray  # [N, 3]
    normals: np.ndarray  # [N, 3]
    local: np.ndarray  # [N, 2] surface coordinates, metres
    faces: np.ndarray  # [M, 3]
    surface_of_vertex: np.ndarray  # [N] rows of `surfaces`
    surfaces: np.ndarray  # [K] of SURFACE


def _box() -> Shape:
    corners, normals = [], []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                corner = np.zeros(3)
                corner[axis], corner[(axis + 1) % 3], corner[(axis + 2) % 3] = sign, a, b
                corners.append(corner * 0.5)
                normals.append(np.eye(3)[axis] * sign)
    faces = [(4 * side + a, 4 * side + b, 4 * side + c) for side in range(6) for a, b, c in ((0, 1, 2), (0, 2, 3))]
    return Shape(np.array(corners, np.float32), np.array(normals, np.float32), np.array(faces, np.int32))


def _round(profile: list[tuple[float, float]], sides: int) -> Shape:
    """A body of revolution about y; profile of (height, radius)."""
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    height, radius = np.array(profile).T
    points = np.stack(
        [radius[:, None] * np.sin(angle), np.repeat(height[:, None], sides + 1, 1), radius[:, None] * np.cos(angle)], -1
    )
    outward = np.broadcast_to(np.stack([np.sin(angle), 0 * angle, np.cos(angle)], -1), points.shape)
    slope = np.gradient(radius) / np.gradient(height)
    normals = outward - slope[:, None, None] * np.array([0, 1.0, 0])
    normals = normals / np.linalg.norm(normals, axis=-1, keepdims=True)
    row, column = np.meshgrid(np.arange(len(profile) - 1), np.arange(sides), indexing="ij")
    a = row * (sides + 1) + column
    faces = np.stack([a, a + sides + 1, a + 1, a + 1, a + sides + 1, a + sides + 2], -1).reshape(-1, 3)
    return Shape(
        points.reshape(-1, 3).astype(np.float32), normals.reshape(-1, 3).astype(np.float32), faces.astype(np.int32)
    )


BOX = _box()
POST = _round([(-0.5, 0.5), (0.5, 0.5)], 12)
BUSH = _round([(-0.5, 0.3), (-0.3, 0.46), (0.0, 0.5), (0.25, 0.4), (0.42, 0.22), (0.5, 0.02)], 12)


class Workshop:
    """Collects the shapes of one picture."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.pieces: list[tuple[Shape, np.ndarray, np.ndarray, float, int]] = []
        self.surfaces: list[np.ndarray] = []

    def paint(self) -> int:
        """A new surface; returns its number."""
        rng = self.rng
        surface = np.zeros((), SURFACE)
        grey, tint = rng.uniform(0.08, 0.85), rng.normal(0, 1, 3)
        strength = rng.choice((0.01, 0.04, 0.14))
        surface["first"] = (grey + strength * tint).clip(0.02, 0.95)
        surface["second"] = (surface["first"] * rng.uniform(0.5, 1.5) + rng.normal(0, 0.06, 3)).clip(0.02, 0.95)
        surface["pattern"] = PATTERNS[rng.integers(len(PATTERNS))]
        surface["size"] = np.exp(rng.uniform(np.log(0.05), np.log(0.5)))
        surface["seed"] = rng.uniform(0, 50)
        self.surfaces.append(surface)
        return len(self.surfaces) - 1

    def put(
        self, shape: Shape, size: Sequence[float] | np.ndarray, centre: np.ndarray, yaw: float, surface: int
    ) -> None:
        """Places a shape scaled to `size`, turned by `yaw`, at `centre` (level frame)."""
        self.pieces.append((shape, np.array(size, np.float32), np.array(centre, np.float32), yaw, surface))

    def build(self) -> Props:
        """The mesh of all placed shapes."""
        if not self.pieces:
            empty = np.zeros((0, 3), np.float32)
            return Props(
                empty, empty, empty[:, :2], np.zeros((0, 3), np.int32), np.zeros(0, np.int32), np.zeros(1, SURFACE)
            )
        vertices, normals, local, faces, owners = [], [], [], [], []
        count = 0
        for shape, size, centre, yaw, surface in self.pieces:
            sine, cosine = np.float32(np.sin(yaw)), np.float32(np.cos(yaw))
            turn = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]], np.float32)
            scaled = shape.vertices * size
            normal = shape.normals / np.maximum(size, 1e-3)
            normal /= np.linalg.norm(normal, axis=1, keepdims=True)
            vertices.append(scaled @ turn.T + centre)
            normals.append(normal @ turn.T)
            flat = np.abs(shape.normals[:, 1]) > 0.7
            across = np.where(np.abs(shape.normals[:, 0]) > 0.7, scaled[:, 2], scaled[:, 0])
            local.append(np.stack([across, np.where(flat, scaled[:, 2], scaled[:, 1])], axis=1))
            faces.append(shape.faces + count)
            owners.append(np.full(len(scaled), surface, np.int32))
            count += len(scaled)
        return Props(
            np.concatenate(vertices).astype(np.float32), np.concatenate(normals).astype(np.float32),
            np.concatenate(local).astype(np.float32), np.concatenate(faces).astype(np.int32),
            np.concatenate(owners), np.array(self.surfaces, SURFACE),
        )  # fmt: skip


Seat = tuple[np.ndarray, float, float]  # pelvis in the level frame, yaw of the prop, height above the ground


def furnish(rng: np.random.Generator, crowd: Crowd, seats: list[Seat], lenses: Lenses) -> Props:
    """Props of one picture: things behind people, seats under seated people, at times something in front."""
    shop = Workshop(rng)
    ground = float(crowd.height[0])
    half = 0.5 * lenses.size / lenses.focal[0]
    for pelvis, yaw, height in seats:
        if rng.random() < 0.75 and height > 0.08:
            _seat(shop, pelvis, yaw, height, ground)
    for _ in range(int(rng.choice((0, 1, 2, 3, 5, 8, 12), p=(0.1, 0.12, 0.18, 0.2, 0.2, 0.14, 0.06)))):
        far = float(np.exp(rng.uniform(np.log(3.0), np.log(18.0))))
        _thing(shop, np.array([rng.uniform(-1.2, 1.2) * half * far, ground, far]), ground)
    if len(crowd.pelvis) and rng.random() < 0.33:
        nearest = float(crowd.pelvis[:, 2].min())
        for _ in range(int(rng.integers(1, 3))):
            z = max(0.45, nearest * rng.uniform(0.45, 0.9))
            _obstacle(shop, np.array([rng.uniform(-1.0, 1.0) * half * z, ground, z]), z * half)
    return shop.build()


def _seat(shop: Workshop, pelvis: np.ndarray, yaw: float, height: float, ground: float) -> None:
    """A chair, bench, stool or block whose top is `height` above the ground, under a pelvis."""
    rng = shop.rng
    paint = shop.paint()
    turn = -yaw
    front = np.array([np.sin(yaw), 0, -np.cos(yaw)])
    width = rng.uniform(0.4, 0.6) if rng.random() < 0.7 else rng.uniform(1.0, 2.2)
    at = np.array([pelvis[0], 0, pelvis[2]]) + 0.12 * front
    deep = rng.uniform(0.38, 0.5)
    top = 0.05 if rng.random() < 0.6 and height > 0.3 else height
    shop.put(BOX, (width, top, deep), at + np.array([0, ground - height + top / 2, 0]), turn, paint)
    if top < height:
        side = np.array([np.cos(yaw), 0, np.sin(yaw)])
        for i in (-1, 1):
            for j in (-1, 1):
                foot = at + side * i * (width / 2 - 0.03) + front * j * (deep / 2 - 0.03)
                shop.put(BOX, (0.04, height, 0.04), foot + np.array([0, ground - height / 2, 0]), turn, paint)
    if rng.random() < 0.6:
        tall = rng.uniform(0.3, 0.55)
        shop.put(BOX, (width, tall, 0.04), at - front * deep / 2 + [0, ground - height - tall / 2, 0], turn, paint)


def _thing(shop: Workshop, foot: np.ndarray, ground: float) -> None:
    """One prop of any sort on the ground at `foot`, or hanging above it."""
    rng = shop.rng
    yaw, paint, sort = rng.uniform(-np.pi, np.pi), shop.paint(), rng.random()
    if sort < 0.30:  # crate, cupboard, car-sized block
        size = np.exp(rng.uniform(np.log(0.25), np.log(2.2), 3))
        shop.put(BOX, tuple(size), foot - [0, size[1] / 2, 0], yaw, paint)
    elif sort < 0.45:  # post, trunk, column
        tall, thick = rng.uniform(1.0, 6.0), np.exp(rng.uniform(np.log(0.05), np.log(0.6)))
        shop.put(POST, (thick, tall, thick), foot - [0, tall / 2, 0], yaw, paint)
        if rng.random() < 0.5:
            crown = rng.uniform(0.8, 3.0)
            shop.put(BUSH, (crown, crown, crown), foot - [0, tall + crown * 0.3, 0], yaw, shop.paint())
    elif sort < 0.60:  # bush, ball
        size = np.exp(rng.uniform(np.log(0.2), np.log(2.0)))
        shop.put(BUSH, (size, size * rng.uniform(0.6, 1.3), size), foot - [0, size / 2, 0], yaw, paint)
    elif sort < 0.75:  # picture, window, sign, lamp in the air
        size = np.exp(rng.uniform(np.log(0.2), np.log(1.5), 2))
        shop.put(BOX, (size[0], size[1], 0.05), foot - [0, rng.uniform(1.0, 3.0), 0], rng.normal(0, 0.3), paint)
    elif sort < 0.88:
        _table(shop, foot, yaw, paint)
    else:  # limb-like sticks that belong to no person
        for _ in range(4):
            tall, thick = rng.uniform(0.3, 1.2), rng.uniform(0.06, 0.16)
            at = foot + np.array([rng.normal(0, 0.25), -rng.uniform(0.2, 1.6), rng.normal(0, 0.25)])
            stick = (thick, tall, thick) if rng.random() < 0.6 else (tall, thick, thick)
            shop.put(BOX, stick, at, rng.uniform(-3, 3), paint)


def _table(shop: Workshop, foot: np.ndarray, yaw: float, paint: int) -> None:
    rng = shop.rng
    wide, deep, tall = rng.uniform(0.6, 2.0), rng.uniform(0.5, 0.9), rng.uniform(0.45, 1.0)
    shop.put(BOX, (wide, 0.05, deep), foot - [0, tall, 0], yaw, paint)
    side, front = np.array([np.cos(yaw), 0, -np.sin(yaw)]), np.array([np.sin(yaw), 0, np.cos(yaw)])
    for i in (-1, 1):
        for j in (-1, 1):
            leg = foot + side * i * (wide / 2 - 0.05) + front * j * (deep / 2 - 0.05)
            shop.put(BOX, (0.05, tall, 0.05), leg - [0, tall / 2, 0], yaw, paint)


def _obstacle(shop: Workshop, foot: np.ndarray, half_view: float) -> None:
    """Something between the camera and the people."""
    rng = shop.rng
    yaw, paint, sort = rng.normal(0, 0.4), shop.paint(), rng.random()
    if sort < 0.35:
        _table(shop, foot, yaw, paint)
    elif sort < 0.6:
        thick = half_view * rng.uniform(0.04, 0.25)
        shop.put(POST, (thick, 6.0, thick), foot - [0, 2.0, 0], yaw, paint)
    elif sort < 0.85:
        size = half_view * np.exp(rng.uniform(np.log(0.2), np.log(0.9), 3))
        tall = min(size[1], 1.1)
        shop.put(BOX, (size[0], tall, size[2] * 0.3), foot - [0, tall / 2, 0], yaw, paint)
    else:
        across = half_view * rng.uniform(0.2, 0.7)
        shop.put(BUSH, (across, across, across), foot - [0, across / 2, 0], yaw, paint)
