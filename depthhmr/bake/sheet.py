"""A contact sheet of a body: views, shapes and poses on one picture."""

import numpy as np
from PIL import Image

from bodykit.body import BETAS, JOINTS, Body
from bodykit.camera import Intrinsics
from bodykit.raster import rasterise, vertex_normals
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_vertices
from depthhmr.synth.poses import sample_poses

TILE_WIDTH, TILE_HEIGHT = 190, 210
SUPERSAMPLING = 2
DISTANCE = 8.0  # metres, far enough for little perspective
FIELD = 2.15  # metres that a tile shows from top to bottom
BACKGROUND = np.array([0.95, 0.95, 0.94], np.float32)
SURFACE = np.array([0.78, 0.74, 0.70], np.float32)
LIGHT = np.array([-0.35, -0.55, -0.75], np.float32) / np.linalg.norm([-0.35, -0.55, -0.75])  # towards it, camera frame
AMBIENT = 0.3
TO_CAMERA = np.diag(np.array([1, -1, -1], np.float32))
SHAPE_STEPS = (-2.0, -1.0, 0.0, 1.0, 2.0)
COLUMNS = 8


def contact_sheet(body: Body, *, seed: int = 0) -> Image.Image:
    """Rows: the rest pose from all around; the first betas from -2 to 2; random poses of random people."""
    rest, mean = np.zeros((JOINTS, 3), np.float32), np.zeros(BETAS, np.float32)
    around = [draw(body, mean, rest, yaw) for yaw in np.linspace(0, 2 * np.pi, COLUMNS, endpoint=False)]
    rows = [around]
    for first in range(0, 4, 2):
        # Two shape numbers to a row, without the middle one of the second: it would be the same person again.
        steps = [(first, step) for step in SHAPE_STEPS[:2] + SHAPE_STEPS[3:]]
        steps += [(first + 1, step) for step in SHAPE_STEPS[:2] + SHAPE_STEPS[3:]]
        rows.append([draw(body, step * np.eye(BETAS, dtype=np.float32)[beta], rest, 0.5) for beta, step in steps])
    rng = np.random.default_rng(seed)
    count = 3 * COLUMNS
    poses = sample_poses(rng, count)
    people = rng.normal(0, 1, (count, BETAS)).astype(np.float32).clip(-2.5, 2.5)
    tiles = [draw(body, people[i], poses[i], rng.uniform(-0.9, 0.9)) for i in range(count)]
    rows += [tiles[start : start + COLUMNS] for start in range(0, count, COLUMNS)]
    return Image.fromarray(np.concatenate([np.concatenate(row, axis=1) for row in rows]))


def draw(body: Body, betas: np.ndarray, pose: np.ndarray, yaw: float) -> np.ndarray:
    """One shaded tile, uint8 [210, 190, 3], of a person turned by `yaw` radians; pose [24, 3] is axis-angle."""
    rotations = axis_angle_to_matrix(pose[None].astype(np.float32))
    turn = axis_angle_to_matrix(np.array([0, yaw, 0], np.float32))
    rotations[:, 0] = TO_CAMERA @ turn @ rotations[:, 0]
    vertices = pose_vertices(body, betas[None], rotations, np.zeros((1, 3), np.float32))[0][0]
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    vertices = vertices - middle + np.array([0, 0, DISTANCE], np.float32)
    width, height = TILE_WIDTH * SUPERSAMPLING, TILE_HEIGHT * SUPERSAMPLING
    focal = height * DISTANCE / FIELD
    raster = rasterise(vertices, body.faces, Intrinsics(focal, focal, width / 2, height / 2), height, width)
    normals = raster.interpolate(vertex_normals(vertices, body.faces), body.faces)
    facing = (normals @ LIGHT) / np.maximum(np.linalg.norm(normals, axis=1), 1e-6)
    image = np.broadcast_to(BACKGROUND, (height, width, 3)).copy()
    image[raster.face >= 0] = SURFACE * (AMBIENT + (1 - AMBIENT) * np.clip(facing, 0, 1))[:, None]
    small = image.reshape(TILE_HEIGHT, SUPERSAMPLING, TILE_WIDTH, SUPERSAMPLING, 3).mean(axis=(1, 3))
    return (255 * small + 0.5).astype(np.uint8)
