"""Degradations by cameras and files: blur, noise, exposure, colour casts, JPEG, low resolution, grey."""

import io

import numpy as np
from numba import njit
from PIL import Image, ImageFilter

GRAIN = 512  # pixels per side of the table of noise; pictures use a shifted window of it
LUMINANCE = np.array([0.3, 0.59, 0.11], np.float32)


def grain_table() -> np.ndarray:
    """Standard normal noise float32 [GRAIN, GRAIN, 3], the same for every generator."""
    return np.random.Generator(np.random.PCG64(7)).standard_normal((GRAIN, GRAIN, 3), dtype=np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def develop(rgb, gain, curve, grain, shift, sigma, grey_grain, saturation, black):
    """rgb [H, W, 3] floats -> uint8, through exposure, saturation, contrast and noise.

    The noise is `grain` [GRAIN, GRAIN, 3], shifted by `shift`, times `sigma`; `grey_grain` uses one channel for all.
    """
    height, width = rgb.shape[:2]
    out = np.empty((height, width, 3), np.uint8)
    for row in range(height):
        for column in range(width):
            r, g, b = rgb[row, column, 0] * gain[0], rgb[row, column, 1] * gain[1], rgb[row, column, 2] * gain[2]
            line, place = (row + shift[0]) & (GRAIN - 1), (column + shift[1]) & (GRAIN - 1)
            grey = 0.3 * r + 0.59 * g + 0.11 * b
            for c in range(3):
                value = r if c == 0 else (g if c == 1 else b)
                value = grey + (value - grey) * saturation
                index = min(max(value, 0.0), 1.0) * 255.0
                low = min(int(index), 254)
                value = curve[low] + (curve[low + 1] - curve[low]) * (index - low)
                value = black + (1.0 - black) * value + sigma * grain[line, place, 0 if grey_grain else c]
                out[row, column, c] = np.uint8(min(max(value * 255.0 + 0.5, 0.0), 255.0))
    return out


def degrade(rng: np.random.Generator, rgb: np.ndarray, grain: np.ndarray, size: int) -> np.ndarray:
    """Float picture [H, W, 3] around 0..1 -> uint8, as a camera of random quality would store it.

    `size` is the side of the square that holds the picture; blur is relative to 192.
    """
    u = rng.random(12)
    scale = size / 192
    # exposure metering removes most of the difference between dark and bright scenes
    metered = (rng.uniform(0.36, 0.52) / max(float((rgb[::4, ::4] @ LUMINANCE).mean()), 0.05)) ** 0.75
    exposure = metered * np.exp(rng.normal(0, 0.12 if u[0] < 0.8 else 0.4))
    cast = np.exp(rng.normal(0, 0.035 if u[1] < 0.8 else 0.09, 3))
    gamma = np.exp(rng.normal(-0.1, 0.2))
    contrast = rng.uniform(0.55, 1.0) if u[2] < 0.2 else rng.uniform(0.95, 1.25)
    ramp = np.linspace(0, 1, 256)
    curve = (0.5 + (ramp**gamma - 0.5) * contrast).clip(0, 1)
    saturation = 0.0 if u[3] < 0.05 else rng.uniform(0.5, 1.1)
    sigma = rng.uniform(0, 0.012) if u[4] < 0.78 else rng.uniform(0.01, 0.045)
    height, width = rgb.shape[:2]
    shift = rng.integers(GRAIN, size=2)
    gain = (exposure * cast).astype(np.float32)
    picture = develop(rgb, gain, curve, grain, shift, sigma, u[5] < 0.5, saturation, rng.uniform(0, 0.06))
    image = Image.fromarray(picture)
    if u[6] < 0.35:
        image = image.filter(ImageFilter.GaussianBlur(scale * rng.uniform(0.3, 0.9 if u[7] < 0.8 else 1.8)))
    elif u[6] < 0.45:
        image = _streak(rng, image, scale)
    elif u[6] < 0.55:
        small = rng.uniform(0.4, 0.85)
        image = image.resize((max(8, int(width * small)), max(8, int(height * small))), Image.Resampling.BILINEAR)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    if u[8] < 0.15:
        image = image.filter(ImageFilter.UnsharpMask(1.0, 80, 2))
    if u[9] < 0.5:
        store = io.BytesIO()
        image.save(store, "JPEG", quality=int(rng.integers(35, 95)))
        image = Image.open(store)
    return np.asarray(image.convert("RGB"))


def _streak(rng: np.random.Generator, image: Image.Image, scale: float) -> Image.Image:
    """Motion blur along one of four directions, 3 or 5 pixels long."""
    side = 5 if scale > 0.6 and rng.random() < 0.5 else 3
    kernel = np.zeros((side, side))
    direction, middle = rng.integers(4), side // 2
    for step in range(side):
        row, column = ((middle, step), (step, middle), (step, step), (step, side - 1 - step))[direction]
        kernel[row, column] = 1
    return image.filter(ImageFilter.Kernel((side, side), kernel.ravel().tolist()))
