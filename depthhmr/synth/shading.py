"""Colours of the rasterised scene: each pixel is shaded once, or once per surface at edges."""

from typing import NamedTuple

import numpy as np
from numba import njit

from bodykit.raster import shares_at
from depthhmr.synth.clothing import hair_edge, ramp
from depthhmr.synth.texture import noise, pattern
from depthhmr.synth.wardrobe import BAG, HAIR, HAT, SKIRT


@njit(cache=True, nogil=True, error_model="numpy")
def face_colour(look, x, y, z, tables):
    """Skin of the head and neck with eyes, brows, mouth, beard, glasses; hair above the hair line."""
    side = abs(x)
    if y > look.hat:
        return look.extra[0], look.extra[1], look.extra[2]
    grain = 0.7 + 0.6 * noise(tables[0], x * 3 + look.seed_u, y * 1.2 + z)
    edge = hair_edge(look, z) + 0.008 * (noise(tables[1], x * 4 + look.seed_u, z * 4) - 0.5)
    if y > edge and not (side > 0.074 and y < 0.70):  # ears stay free
        return look.hair[0] * grain, look.hair[1] * grain, look.hair[2] * grain
    r, g, b = look.skin[0], look.skin[1], look.skin[2]
    if z < 0.05:
        return r, g, b
    if look.mask > 0 and 0.565 < y < 0.638:
        return look.mark[0], look.mark[1], look.mark[2]
    eye = ((side - 0.030) / 0.014) ** 2 + ((y - 0.675) / 0.008) ** 2
    if look.glasses > 0 and ((side - 0.032) / 0.027) ** 2 + ((y - 0.674) / 0.019) ** 2 < 1.0:
        return 0.06, 0.06, 0.07 if look.glasses > 0.6 else 0.5 * r
    if eye < 1.0:
        white = 0.75 if eye > 0.35 else 0.08
        return white, white, white
    if 0.690 < y < 0.699 and 0.012 < side < 0.048:
        return look.hair[0] * 0.8, look.hair[1] * 0.8, look.hair[2] * 0.8
    if abs(y - 0.592) < 0.007 and side < 0.024:
        return r * 0.72, g * 0.45, b * 0.45
    if look.beard > 0 and y < 0.625 and not (y < 0.545):
        keep = 1.0 - 0.8 * look.beard * grain
        return (
            r * keep + look.hair[0] * (1 - keep),
            g * keep + look.hair[1] * (1 - keep),
            b * keep + look.hair[2] * (1 - keep),
        )
    socket = 1.0 - 0.28 * np.exp(-0.5 * (((side - 0.03) / 0.018) ** 2 + ((y - 0.678) / 0.013) ** 2))
    under = 1.0 - 0.22 * ramp(y, 0.57, 0.54)
    cheek = 0.06 * np.exp(-0.5 * (((side - 0.045) / 0.018) ** 2 + ((y - 0.63) / 0.018) ** 2))
    return r * socket * under, g * socket * under * (1 - cheek), b * socket * under * (1 - cheek)


@njit(cache=True, nogil=True, error_model="numpy")
def person_colour(look, part, x, y, z, tables):
    """Colour of one point of a person, by its place on the mean body in the T-pose."""
    side = abs(x)
    if part == HAIR:
        grain = 0.65 + 0.6 * noise(tables[0], x * 4 + look.seed_u, y * 0.6 + z * 2)
        return look.hair[0] * grain, look.hair[1] * grain, look.hair[2] * grain
    if part in (HAT, BAG):
        shade = 1.0 if part == HAT or y > 0.36 or y < 0.33 else 0.7
        return look.extra[0] * shade, look.extra[1] * shade, look.extra[2] * shade
    if part != SKIRT and y > 0.535 and side < 0.14 and y > look.neck - 0.01:
        return face_colour(look, x, y, z, tables)
    arm = side > 0.19 and y > 0.3
    crease = 1.0 + 0.32 * look.fold * (noise(tables[1], x * 1.3 + look.seed_u, y * 1.3 + z) - 0.5)
    if arm:
        if side > 0.66 and look.glove > 0:
            return look.shoe[0], look.shoe[1], look.shoe[2]
        if side > look.sleeve:
            return look.skin[0], look.skin[1], look.skin[2]
        if side > look.sleeve - 0.012:
            crease *= 0.8
    elif part == SKIRT or y <= look.hem:
        if part == SKIRT:
            crease *= 0.92 + 0.16 * noise(tables[0], np.arctan2(x, z) * 1.1, 0.5)
        if y < look.ankle and part != SKIRT:
            sole = 0.6 if y < -0.88 else 1.0
            return look.shoe[0] * sole, look.shoe[1] * sole, look.shoe[2] * sole
        if part != SKIRT and y < look.leg:
            if y < look.ankle + 0.08:
                return look.sock[0], look.sock[1], look.sock[2]
            return look.skin[0], look.skin[1], look.skin[2]
        if look.belt > 0 and abs(y - min(look.hem, 0.07)) < 0.022:
            return look.shoe[0] * 0.8, look.shoe[1] * 0.8, look.shoe[2] * 0.8
        mix = pattern(look.bottom_pattern, (x + z) / look.bottom_size, y / look.bottom_size, tables, look.seed_u)
        if side < 0.005 and y < 0.05 and part != SKIRT:
            crease *= 0.8
        return (
            crease * (look.bottom[0] * (1 - mix) + look.bottom2[0] * mix),
            crease * (look.bottom[1] * (1 - mix) + look.bottom2[1] * mix),
            crease * (look.bottom[2] * (1 - mix) + look.bottom2[2] * mix),
        )
    else:
        front = z > 0.0
        collar = look.neck - (look.vee * ramp(side, 0.07, 0.0) if front else 0.0)
        if y > collar:
            if look.opening > 0 and front and side < 0.06 and y < collar + 0.04:
                return look.inner[0], look.inner[1], look.inner[2]
            return look.skin[0], look.skin[1], look.skin[2]
        if look.straps > 0 and front and abs(side - 0.105) < 0.022 and y > 0.2:
            return look.extra[0] * 0.8, look.extra[1] * 0.8, look.extra[2] * 0.8
        if look.opening > 0 and front:
            wide = look.opening * (0.6 + 0.8 * ramp(y, 0.1, 0.5))
            if side < wide:
                return look.inner[0] * crease, look.inner[1] * crease, look.inner[2] * crease
            if side < wide + 0.012:
                crease *= 0.7
        if front and abs(x - look.print_x) < look.print_w and abs(y - look.print_y) < look.print_h:
            ink = 1.0 if noise(tables[1], x * 1.5 + look.seed_u, y * 1.5) > 0.4 else 0.5
            return look.mark[0] * ink, look.mark[1] * ink, look.mark[2] * ink
        if y < look.hem + 0.012 or y > collar - 0.012:
            crease *= 0.82
    cosine, sine = np.cos(look.top_angle), np.sin(look.top_angle)
    along, across = (side, y + z) if arm else (y, x)
    s, t = (across * cosine - along * sine) / look.top_size, (along * cosine + across * sine) / look.top_size
    mix = pattern(look.top_pattern, s, t, tables, look.seed_u)
    return (
        crease * (look.top[0] * (1 - mix) + look.top2[0] * mix),
        crease * (look.top[1] * (1 - mix) + look.top2[1] * mix),
        crease * (look.top[2] * (1 - mix) + look.top2[2] * mix),
    )


class Raster(NamedTuple):
    """What is visible: face indices (-1 for none) and inverse depths [2S, 2S], and the box left, top, right, bottom [4]."""

    face: np.ndarray
    inverse_depth: np.ndarray
    box: np.ndarray


class SceneMesh(NamedTuple):
    """Vertices of all people and then of the props: projected [V, 2 or 3], normals and corners [V, 3]; faces [F, 3]."""

    points: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    corners: np.ndarray


class People(NamedTuple):
    """How many people there are, the mesh that they share, and the look of each."""

    number: int
    faces_each: int
    vertices_each: int
    part_of_face: np.ndarray
    rest: np.ndarray
    looks: np.ndarray


class Things(NamedTuple):
    """The props: texture coordinates [V, 2], the surface of each vertex [V], and the surfaces."""

    local: np.ndarray
    surface_of_vertex: np.ndarray
    surfaces: np.ndarray


class Picture(NamedTuple):
    """The output of `shade`: rgb [S, S, 3], depth and person [S, S], and visible samples per person [P]."""

    rgb: np.ndarray
    depth: np.ndarray
    person: np.ndarray
    covered: np.ndarray


@njit(cache=True, nogil=True, error_model="numpy")
def shade(raster, mesh, crowd, things, light, ground, tables, picture):
    """Composite the rasterised scene over the picture's rgb and fill its depth and person.

    Raster arrays are [2S, 2S]: the four samples of a pixel are shaded once where they show the same surface. A pixel belongs
    to a person who covers at least half of it. One function on purpose: split into four, it takes 40 % longer.
    """
    face, inverse_depth, box = raster
    points, faces, normals, corners = mesh
    people, people_faces, vertices_each, part_of_face, rest, looks = crowd
    local, surface_of_vertex, surfaces = things
    rgb, depth, person, covered = picture
    total = people_faces * people
    colour = np.zeros(3, np.float64)
    for row in range(box[1], box[3]):
        for column in range(box[0], box[2]):
            background = 0
            summed_r, summed_g, summed_b = 0.0, 0.0, 0.0
            last_owner, last_part, repeat = -2, -1, False
            best_owner, best_count, best_near = -1, 0, 0.0
            for sample in range(4):
                i, j = 2 * row + (sample >> 1), 2 * column + (sample & 1)
                f = face[i, j]
                if f < 0:
                    background += 1
                    continue
                if f < total:
                    owner = f // people_faces
                    part = int(part_of_face[f - owner * people_faces])
                    covered[owner] += 1
                    count, near = 0, 0.0
                    for other in range(4):
                        g = face[2 * row + (other >> 1), 2 * column + (other & 1)]
                        if 0 <= g < total and g // people_faces == owner:
                            count += 1
                            near += inverse_depth[2 * row + (other >> 1), 2 * column + (other & 1)]
                    if count > best_count:
                        best_owner, best_count, best_near = owner, count, near / count
                else:
                    owner = people + surface_of_vertex[faces[f, 0] - people * vertices_each]
                    part = 0
                repeat = owner == last_owner and part == last_part
                last_owner, last_part = owner, part
                if not repeat:
                    a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
                    wa, wb, wc = shares_at(points, a, b, c, j + 0.5, i + 0.5)
                    nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
                    ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
                    nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
                    if part != 0 and nz > 0:  # the inside of a sheet
                        nx, ny, nz = -nx, -ny, -nz
                    length = 1.0 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-12)
                    nx, ny, nz = nx * length, ny * length, nz * length
                    if f < total:
                        base = owner * vertices_each
                        p, q, s = a - base, b - base, c - base
                        x = wa * rest[p, 0] + wb * rest[q, 0] + wc * rest[s, 0]
                        y = wa * rest[p, 1] + wb * rest[q, 1] + wc * rest[s, 1]
                        z = wa * rest[p, 2] + wb * rest[q, 2] + wc * rest[s, 2]
                        colour[0], colour[1], colour[2] = person_colour(looks[owner], part, x, y, z, tables)
                    else:
                        base = people * vertices_each
                        p, q, s = a - base, b - base, c - base
                        u = wa * local[p, 0] + wb * local[q, 0] + wc * local[s, 0]
                        v = wa * local[p, 1] + wb * local[q, 1] + wc * local[s, 1]
                        surface = surfaces[surface_of_vertex[p]]
                        mix = pattern(surface.pattern, u / surface.size, v / surface.size, tables, surface.seed)
                        grain = 0.85 + 0.3 * noise(tables[1], u * 0.5 + surface.seed, v * 0.5)
                        for k in range(3):
                            colour[k] = grain * (surface.first[k] * (1 - mix) + surface.second[k] * mix)
                    sun = max(0.0, nx * light.toward[0] + ny * light.toward[1] + nz * light.toward[2])
                    up = 0.5 + 0.5 * (nx * light.up[0] + ny * light.up[1] + nz * light.up[2])
                    # little light reaches surfaces that face down near the floor
                    above = ground
                    for k in range(3):
                        at = wa * corners[a, k] + wb * corners[b, k] + wc * corners[c, k]
                        above += at * light.up[k]
                    close = 1.0 - 0.35 * (1.0 - up) * ramp(above, 0.6, 0.0)
                    for k in range(3):
                        ambient = light.sky[k] * up + light.ground[k] * (1.0 - up)
                        colour[k] *= (ambient + light.sun[k] * sun) * close
                summed_r += colour[0]
                summed_g += colour[1]
                summed_b += colour[2]
            if background < 4:
                share = background * 0.25
                rgb[row, column, 0] = rgb[row, column, 0] * share + summed_r * 0.25
                rgb[row, column, 1] = rgb[row, column, 1] * share + summed_g * 0.25
                rgb[row, column, 2] = rgb[row, column, 2] * share + summed_b * 0.25
                if best_count >= 2:
                    depth[row, column] = 1.0 / best_near
                    person[row, column] = best_owner + 1
