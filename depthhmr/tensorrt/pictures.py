"""Inputs for comparing engines: pictures of the generator's test split, or of a user's folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.letterbox import letterbox
from bodykit.picture_files import PICTURE_SUFFIXES, picture_files, read_picture

COUNT = 64  # 162 people: enough for a percentile of 95
MAX_PICTURES = 512  # of a folder; more only take longer


@dataclass(frozen=True)
class Pictures:
    """N pictures as the network takes them."""

    image: np.ndarray  # uint8 [N, S, S, 3]
    intrinsics: np.ndarray  # float32 [N, 4]
    source: str

    def __len__(self) -> int:
        return len(self.image)

    def batch(self, size: int, start: int) -> Mapping[str, np.ndarray]:
        """`size` pictures from number `start` on, starting over after the last one."""
        chosen = np.arange(start, start + size) % len(self)
        return {"image": self.image[chosen], "intrinsics": self.intrinsics[chosen]}


def synthetic(size: int, count: int = COUNT) -> Pictures:
    """The first pictures of the test split, at the network's size. They were never trained on."""
    from bodykit.body import load_body
    from depthhmr.synth.scene import Generator
    from depthhmr.synth.splits import seeds_of

    generator = Generator(load_body(), size)
    samples = [generator.sample(seed) for seed in seeds_of("test", count)]
    return Pictures(
        np.stack([sample.rgb for sample in samples]),
        np.stack([sample.intrinsics for sample in samples]).astype(np.float32),
        f"{count} pictures of depthhmr.synth's test split",
    )


def from_folder(folder: Path, size: int) -> Pictures:
    """Every picture of a folder, as the service prepares it for an unknown camera. UserError without any."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f"expected a folder of pictures at {folder}, found {'a file' if folder.exists() else 'nothing'}"
        )
    files = picture_files(folder.iterdir())[:MAX_PICTURES]
    if not files:
        raise UserError(f"expected pictures ({', '.join(PICTURE_SUFFIXES)}) in {folder}, found none")
    images, cameras = [], []
    for path in files:
        pixels = read_picture(path)
        square, box = letterbox(pixels, size)
        images.append(square)
        cameras.append(box.intrinsics(Intrinsics.from_fov(pixels.shape[1], pixels.shape[0])).array())
    return Pictures(np.stack(images), np.stack(cameras), f"{len(files)} pictures of {folder}")
