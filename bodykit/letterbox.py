"""Fits any image into the square that the network takes, and maps pixels back.

The longer side becomes `size`, the shorter one keeps the proportions, and the rest is padded grey on both sides. Pixels that
are not square become square, as the network was trained on.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from bodykit.camera import Intrinsics

PAD_GREY = 127


@dataclass(frozen=True)
class Letterbox:
    """Where an image of `width` x `height` lies inside its `size` x `size` square."""

    width: int
    height: int
    size: int
    pixel_aspect: float = 1.0  # width of an original pixel over its height; letterboxed pixels are square

    @property
    def content(self) -> tuple[int, int]:
        """Width and height in whole pixels that the image covers inside the square."""
        width = self.width * self.pixel_aspect
        scale = self.size / max(width, self.height)
        return max(1, round(width * scale)), max(1, round(self.height * scale))

    @property
    def offset(self) -> tuple[int, int]:
        """Left and top padding in pixels."""
        width, height = self.content
        return (self.size - width) // 2, (self.size - height) // 2

    @property
    def scale(self) -> tuple[float, float]:
        """Letterboxed pixels per original pixel along x and y; for square pixels they differ only by rounding."""
        width, height = self.content
        return width / self.width, height / self.height

    def pad(self, content: np.ndarray) -> np.ndarray:
        """An image already resized to `content` -> the padded square, uint8 [size, size, 3]."""
        square = np.full((self.size, self.size, 3), PAD_GREY, np.uint8)
        (width, height), (left, top) = self.content, self.offset
        square[top : top + height, left : left + width] = content
        return square

    def intrinsics(self, camera: Intrinsics) -> Intrinsics:
        """The same camera, in letterboxed pixels."""
        (scale_x, scale_y), (left, top) = self.scale, self.offset
        return Intrinsics(
            camera.fx * scale_x, camera.fy * scale_y, camera.cx * scale_x + left, camera.cy * scale_y + top
        )

    def from_image(self, xy: np.ndarray) -> np.ndarray:
        """Original pixels [..., 2] -> letterboxed pixels [..., 2]."""
        xy = np.asarray(xy)
        return xy * np.asarray(self.scale, xy.dtype) + np.asarray(self.offset, xy.dtype)

    def to_image(self, xy: np.ndarray) -> np.ndarray:
        """Letterboxed pixels [..., 2] -> original pixels [..., 2]; the exact inverse of `from_image`."""
        xy = np.asarray(xy)
        return (xy - np.asarray(self.offset, xy.dtype)) / np.asarray(self.scale, xy.dtype)


def letterbox(image: np.ndarray, size: int) -> tuple[np.ndarray, Letterbox]:
    """uint8 [H, W, 3] -> (uint8 [size, size, 3], where it lies). Bilinear with antialiasing, as in training."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"expected a uint8 image of shape [H, W, 3], got {image.dtype} {list(image.shape)}")
    box = Letterbox(width=image.shape[1], height=image.shape[0], size=size)
    content = Image.fromarray(image).resize(box.content, Image.Resampling.BILINEAR)
    return box.pad(np.asarray(content)), box
