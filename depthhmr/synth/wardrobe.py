"""The body with loose parts: skirt, long hair, brim, bag. They are extra sheets of vertices, skinned like the body.

Every person has all sheets; the look decides which are drawn.

Rest coordinates give the shader the place of a pixel on the person. They are positions on the mean body's T-pose, stretched
so that the landmarks of any body lie at the heights and widths of `HEIGHTS` and `WIDTHS`: the shader and the sheets
use these coordinates for all bodies.
"""

from dataclasses import dataclass, replace

import numpy as np

from bodykit.body import JOINT, Body, SparseRows

BODY, SKIRT, HAIR, HAT, BAG = range(5)
SKIRT_ROWS, HAIR_ROWS = 10, 7
PELVIS, LEFT_HIP, RIGHT_HIP, LEFT_KNEE, RIGHT_KNEE, SPINE2, SPINE3, NECK, HEAD = (
    JOINT[name]
    for name in ("pelvis", "left_hip", "right_hip", "left_knee", "right_knee", "spine2", "spine3", "neck", "head")
)

# rest coordinates of soles, ankles, knees, hips, spine3, neck, head joint, eyes, crown
HEIGHTS = np.array([-0.896, -0.825, -0.405, -0.014, 0.356, 0.535, 0.631, 0.675, 0.780])
# of the middle, shoulders, elbows, wrists, finger tips
WIDTHS = np.array([0.0, 0.176, 0.417, 0.654, 0.833])


@dataclass(frozen=True)
class Wardrobe:
    """The dressed body. Faces of the bare body come first, then the sheets, row of quads by row."""

    body: Body  # with the sheets' vertices appended
    bare_vertices: int
    bare_faces: int
    faces: np.ndarray  # [F, 3] int32
    part_of_face: np.ndarray  # [F] uint8: BODY, SKIRT, ...
    ranges: dict[int, tuple[int, int]]  # part -> first and last + 1 face
    rest: np.ndarray  # [V, 3] float32


@dataclass(frozen=True)
class Sheet:
    """A grid of points [rows, columns, 3] with joint weights {joint: [rows, columns]}."""

    part: int
    points: np.ndarray
    weights: dict[int, np.ndarray]
    closed: bool  # the last column joins the first


def dress(body: Body) -> Wardrobe:
    """Appends all sheets to a body."""
    landmarks = _landmarks(body)
    template, faces, parts = [body.template], [body.faces], [np.zeros(len(body.faces), np.uint8)]
    index, value, shape = [body.weight_index], [body.weight_value], [body.shapedirs]
    ranges = {BODY: (0, len(body.faces))}
    vertices = len(body.template)
    for sheet in (_skirt(), _long_hair(), _brim(), _bag()):
        points = _stretch(sheet.points.reshape(-1, 3), (WIDTHS, HEIGHTS), landmarks)
        quads = _quads(*sheet.points.shape[:2], closed=sheet.closed) + vertices
        first = sum(map(len, faces))
        ranges[sheet.part] = (first, first + len(quads))
        faces.append(quads.astype(np.int32))
        parts.append(np.full(len(quads), sheet.part, np.uint8))
        template.append(points)
        rows, shares = _heaviest_four(sheet.weights, sheet.points.shape[:2])
        index.append(rows)
        value.append(shares)
        shape.append(_nearby_shapedirs(body, points))
        vertices += len(points)
    extra = vertices - len(body.template)
    offset = np.concatenate([body.posedirs.offset, np.full(extra, body.posedirs.offset[-1], np.int32)])
    full = np.concatenate(template)
    dressed = replace(
        body,
        template=full,
        faces=np.concatenate(faces),
        shapedirs=np.concatenate(shape),
        weight_index=np.concatenate(index),
        weight_value=np.concatenate(value),
        posedirs=SparseRows(offset, body.posedirs.column, body.posedirs.value),
    )
    rest = _stretch(full, landmarks, (WIDTHS, HEIGHTS))
    return Wardrobe(dressed, len(body.template), len(body.faces), dressed.faces, np.concatenate(parts), ranges, rest)


def _landmarks(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Widths and heights of this body that correspond to `WIDTHS` and `HEIGHTS`."""
    joint, template = body.joint_template, body.template
    heights = [
        template[:, 1].min(),
        *joint[[JOINT["left_ankle"], LEFT_KNEE, LEFT_HIP, SPINE3, NECK, HEAD], 1],
        0.0,
        template[:, 1].max(),
    ]
    eye = body.vertex_ids.get("leye")
    share = (HEIGHTS[7] - HEIGHTS[6]) / (HEIGHTS[8] - HEIGHTS[6])
    heights[7] = heights[6] + share * (heights[8] - heights[6]) if eye is None else template[eye, 1]
    widths = [0.0, *joint[[JOINT[f"left_{part}"] for part in ("shoulder", "elbow", "wrist")], 0], template[:, 0].max()]
    return np.array(widths, np.float64), np.array(heights, np.float64)


def _stretch(
    points: np.ndarray, source: tuple[np.ndarray, np.ndarray], target: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Points [N, 3] with |x| and y mapped from one set of landmarks to another, linearly between them."""
    moved = np.array(points, np.float32)
    moved[:, 0] = np.sign(points[:, 0]) * np.interp(np.abs(points[:, 0]), source[0], target[0])
    moved[:, 1] = np.interp(points[:, 1], source[1], target[1])
    return moved


def _skirt() -> Sheet:
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    height = np.linspace(0.09, -0.72, SKIRT_ROWS + 1)[:, None]
    down = (0.09 - height) / 0.81
    width = 0.176 + 0.25 * np.minimum(down, 0.12) + 0.10 * down
    deep = 0.138 + 0.10 * np.minimum(down, 0.2) + 0.05 * down
    x, z = width * np.sin(angle), 0.016 + deep * np.cos(angle)
    points = np.stack([x, np.broadcast_to(height, x.shape), z], axis=-1)
    left = 1 / (1 + np.exp(-x / 0.035))
    legs = 0.85 * np.clip((down - 0.12) / 0.25, 0, 1)
    below = 0.75 * np.clip((down - 0.55) / 0.3, 0, 1)
    return Sheet(
        SKIRT,
        points,
        {
            PELVIS: 1 - legs,
            LEFT_HIP: legs * left * (1 - below),
            RIGHT_HIP: legs * (1 - left) * (1 - below),
            LEFT_KNEE: legs * left * below,
            RIGHT_KNEE: legs * (1 - left) * below,
        },
        closed=True,
    )


def _long_hair() -> Sheet:
    angle = np.linspace(np.radians(68), np.radians(292), 18)
    height = np.linspace(0.76, 0.32, HAIR_ROWS + 1)[:, None]
    down = (0.76 - height) / 0.44
    radius = np.interp(down, [0, 0.2, 0.5, 1.0], [0.06, 0.10, 0.105, 0.13])
    x = radius * np.sin(angle)
    z = 0.035 + radius * np.cos(angle) * (1.05 + 0.15 * down)
    points = np.stack([x, np.broadcast_to(height, x.shape), z], axis=-1)
    chest = np.broadcast_to(np.clip((down - 0.45) / 0.4, 0, 0.9), x.shape)
    neck = (1 - chest) * np.clip((down - 0.25) / 0.4, 0, 0.5)
    return Sheet(HAIR, points, {HEAD: 1 - chest - neck, NECK: neck, SPINE3: chest}, closed=False)


def _brim() -> Sheet:
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.array([0.075, 0.11, 0.145])[:, None]
    x, z = ring * np.sin(angle), 0.035 + ring * np.cos(angle) * 1.15
    y = 0.735 - 0.12 * (ring - 0.075) + 0.0 * x
    points = np.stack([x, y, z], axis=-1)
    return Sheet(HAT, points, {HEAD: np.ones(x.shape)}, closed=True)


def _bag() -> Sheet:
    latitude = np.linspace(-np.pi / 2, np.pi / 2, 9)[:, None]
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)

    def boxy(value: np.ndarray) -> np.ndarray:
        return np.sign(value) * np.abs(value) ** 0.5

    x = 0.155 * boxy(np.cos(latitude)) * boxy(np.sin(angle))
    z = -0.175 + 0.095 * boxy(np.cos(latitude)) * boxy(np.cos(angle))
    y = 0.29 + 0.22 * boxy(np.sin(latitude)) + 0 * x
    weights = {SPINE3: np.full(x.shape, 0.7), SPINE2: np.full(x.shape, 0.3)}
    return Sheet(BAG, np.stack([x, y, z], axis=-1), weights, closed=True)


def _quads(rows: int, columns: int, *, closed: bool) -> np.ndarray:
    """Two triangles per cell of a grid, [cells * 2, 3]."""
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    after = (column + 1) % columns
    a, b = row * columns + column, row * columns + after
    c, d = a + columns, b + columns
    return np.stack([a, c, b, b, c, d], axis=-1).reshape(-1, 3)


def _heaviest_four(weights: dict[int, np.ndarray], grid: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    table = np.zeros((int(np.prod(grid)), 24), np.float32)
    for joint, weight in weights.items():
        table[:, joint] = np.broadcast_to(weight, grid).ravel()
    rows = np.argsort(-table, axis=1, kind="stable")[:, :4]
    shares = np.take_along_axis(table, rows, axis=1)
    return rows.astype(np.int32), (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


def _nearby_shapedirs(body: Body, points: np.ndarray) -> np.ndarray:
    """Shape directions of the points: the mean of the 12 nearest vertices of trunk, head and legs."""
    arms = np.isin(body.weight_index[np.arange(len(body.template)), body.weight_value.argmax(axis=1)], range(16, 24))
    near = np.nonzero(~arms)[0]
    distance = np.linalg.norm(points[:, None] - body.template[near][None], axis=-1)
    closest = near[np.argsort(distance, axis=1, kind="stable")[:, :12]]
    return body.shapedirs[closest].mean(axis=1).astype(np.float32)
