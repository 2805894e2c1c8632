"""Noise and patterns for compiled shaders: clouds from a fixed table, stripes, checks, bricks, tiles, dots."""

import numpy as np
from numba import njit

SIZE = 128  # texels per side of a noise table; the tables tile
SLOPES = (0.6, 1.0, 1.4, 1.8, 2.2)  # amplitude falls with frequency ** slope: from grain to clouds


def noise_tables() -> np.ndarray:
    """Tileable noise float32 [slopes, SIZE, SIZE] in 0..1, the same for every generator."""
    rng = np.random.Generator(np.random.PCG64(20_251_122))
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None]) * SIZE
    tables = []
    for slope in SLOPES:
        spectrum = np.fft.fft2(rng.standard_normal((SIZE, SIZE))) / np.maximum(frequency, 1) ** slope
        spectrum[0, 0] = 0
        field = np.fft.ifft2(spectrum).real
        tables.append((0.5 + 0.22 * field / field.std()).clip(0, 1))
    # float16 steps: the last bits of the transform may differ between machines
    return np.stack(tables).astype(np.float16).astype(np.float32)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def noise(table, u, v):
    """Bilinear look-up in a tiling table [SIZE, SIZE]; one unit of u or v is the whole table."""
    x, y = u * SIZE, v * SIZE
    left, top = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - left, y - top
    mask = SIZE - 1
    x0, x1, y0, y1 = left & mask, (left + 1) & mask, top & mask, (top + 1) & mask
    above = table[y0, x0] * (1 - fx) + table[y0, x1] * fx
    below = table[y1, x0] * (1 - fx) + table[y1, x1] * fx
    return above * (1 - fy) + below * fy


@njit(cache=True, nogil=True, error_model="numpy")
def pattern(kind, u, v, tables, seed):
    """Share 0..1 of the second colour at u, v (in periods of the pattern); clutter exceeds the range."""
    if kind == 1:  # stripes
        return 1.0 if v - np.floor(v) < 0.5 else 0.0
    if kind == 2:  # checks, half where only one direction is set
        return 0.5 * (1.0 if v - np.floor(v) < 0.5 else 0.0) + 0.5 * (1.0 if u - np.floor(u) < 0.5 else 0.0)
    if kind == 3:  # bricks with joints
        row = np.floor(v * 2)
        x = u + 0.5 * (row - 2 * np.floor(row / 2))
        joint = x - np.floor(x) < 0.06 or v * 2 - row < 0.12
        return 1.0 if joint else 0.35 * noise(tables[0], np.floor(x) * 0.37, row * 0.23)
    if kind == 4:  # tiles, every other one darker
        gap = u - np.floor(u) < 0.04 or v - np.floor(v) < 0.04
        odd = (int(np.floor(u)) + int(np.floor(v))) & 1
        return 1.0 if gap else 0.6 * odd
    if kind == 5:  # clouds
        return noise(tables[2], u * 0.11 + seed, v * 0.11)
    if kind == 6:  # leaves, camouflage
        return 1.0 if noise(tables[1], u * 0.13 + seed, v * 0.13) > 0.55 else 0.0
    if kind == 8:  # shelves, windows, posters: cells of many sizes, beyond both colours
        row = np.floor(v)
        x = u * 0.7 + 5.3 * noise(tables[0], row * 0.37 + seed, 0.1)
        cell = np.floor(x)
        value = noise(tables[0], cell * 0.311 + seed, row * 0.173)
        if value > 0.5:  # divide this cell once more
            x, v = x * 3, v * 2
            value = noise(tables[0], np.floor(x) * 0.311 + seed, np.floor(v) * 0.173 + 0.5)
        edge = x - np.floor(x) < 0.07 or v - np.floor(v) < 0.07
        return -0.5 if edge else 4.0 * (value - 0.5) + 0.5
    if kind == 7:  # dots
        x, y = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
        return 1.0 if x * x + y * y < 0.07 else 0.0
    if kind >= 9:  # a patch of a photograph, eight periods long
        return noise(tables[kind - 9 + len(SLOPES)], u * 0.125 + seed, v * 0.125)
    return 0.0
