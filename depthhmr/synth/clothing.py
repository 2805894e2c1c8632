"""The shape of clothes: the skin moved outwards where it is covered, in folds, and sheets moved according to the look."""

import numpy as np
from numba import njit

from depthhmr.synth.texture import noise
from depthhmr.synth.wardrobe import BODY, HAT, SKIRT, Wardrobe


def part_of_vertex(wardrobe: Wardrobe) -> np.ndarray:
    """The sheet of every vertex, uint8 [V]; BODY for the body itself."""
    part = np.full(len(wardrobe.rest), BODY, np.uint8)
    for name, (first, last) in wardrobe.ranges.items():
        if name != BODY:
            part[np.unique(wardrobe.faces[first:last])] = name
    return part


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def ramp(value, low, high):
    """0 at `low`, 1 at `high`, linear between; low may lie above high."""
    share = (value - low) / (high - low)
    return min(max(share, 0.0), 1.0)


@njit(cache=True, nogil=True, error_model="numpy")
def hair_edge(look, z):
    """Height above which the skull is covered by hair: high at the forehead, low at the nape."""
    back = ramp(z, 0.10, -0.02)
    return look.hairline * (1.0 - back) + look.nape * back


@njit(cache=True, nogil=True, error_model="numpy")
def wear(vertices, normals, rest, part, look, tables):
    """Moves vertices [V, 3] of one person along their normals, in place."""
    for i in range(vertices.shape[0]):
        x, y, z = rest[i, 0], rest[i, 1], rest[i, 2]
        side = abs(x)
        amount = 0.0
        fold = (noise(tables[2], x * 1.7 + look.seed_u, y * 1.7 + z * 1.3) - 0.5) * 2.0 * look.fold
        if part[i] == SKIRT:
            amount = look.flare * ramp(y, 0.05, -0.5) + 0.02 * fold * ramp(y, 0.05, -0.3)
        elif part[i] == HAT:
            amount = 0.0
        elif part[i] != BODY:
            amount = 0.01 * fold
        elif y > 0.55 and side < 0.12:  # head
            if y > look.hat:
                amount = 0.018
            elif y > hair_edge(look, z):
                amount = look.hair_thick * ramp(y, hair_edge(look, z), hair_edge(look, z) + 0.05) * (1.0 + 0.3 * fold)
        elif side > 0.19 and y > 0.3:  # arm
            if side < look.sleeve:
                flare = 0.6 + 0.6 * ramp(side, 0.25, look.sleeve)
                amount = look.loose_top * 0.7 * flare * ramp(look.sleeve - side, -0.002, 0.01) * (1.0 + 0.6 * fold)
        elif y > look.hem:
            if y < look.neck:
                amount = look.loose_top * (0.45 + 0.75 * ramp(y, 0.40, 0.05)) * (1.0 + 0.5 * fold)
                amount *= ramp(look.neck - y, 0.0, 0.05)
        elif y > look.leg:
            amount = look.loose_bottom * (0.5 + 0.9 * ramp(y, 0.0, -0.6)) * (1.0 + 0.5 * fold)
        elif y < look.ankle:
            amount = 0.008
        if amount != 0.0:
            vertices[i, 0] += amount * normals[i, 0]
            vertices[i, 1] += amount * normals[i, 1]
            vertices[i, 2] += amount * normals[i, 2]
