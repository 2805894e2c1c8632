"""Pictures and labels as files, for viewing and for other tools; training uses the generator directly."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from bodykit.errors import UserError
from bodykit.rotations import matrix_to_axis_angle
from depthhmr.synth.scene import Generator, Sample

IMAGES, MAPS, ANNOTATIONS = "images", "maps", "annotations.jsonl"
DIGITS = 4  # decimals of written metres, radians and pixels


def write_dataset(generator: Generator, seeds: Iterable[int], folder: Path, *, progress: bool = True) -> int:
    """Writes one picture per seed and returns their number.

    `images/SEED.png`, `maps/SEED.npz` (depth float16 metres, person uint8) and one line of `annotations.jsonl` each.
    Raises UserError if the folder already holds annotations.
    """
    target = folder / ANNOTATIONS
    if target.exists():
        raise UserError(f"expected a folder without a data set, {target} exists")
    for name in (IMAGES, MAPS):
        (folder / name).mkdir(parents=True, exist_ok=True)
    count = 0
    with target.open("w", encoding="utf-8") as lines:
        for seed in tqdm(seeds, unit="picture", disable=not progress):
            sample = generator.sample(seed)
            Image.fromarray(sample.rgb).save(folder / IMAGES / f"{seed:08d}.png")
            np.savez_compressed(
                folder / MAPS / f"{seed:08d}.npz", depth=sample.depth.astype(np.float16), person=sample.person
            )
            lines.write(json.dumps(annotation(seed, sample)) + "\n")
            count += 1
    return count


def annotation(seed: int, sample: Sample) -> dict[str, Any]:
    """The labels of a picture as plain lists; `pose` is axis-angle, joint 0 into the camera frame."""
    people = [
        {
            "id": i + 1,  # as in the map of people
            "pose": _plain(matrix_to_axis_angle(sample.rotations[i])),
            "betas": _plain(sample.betas[i]),
            "translation": _plain(sample.translation[i]),
            "joints_3d": _plain(sample.joints_3d[i]),
            "joints_2d": _plain(sample.joints_2d[i]),
            "box": _plain(sample.boxes[i]),
            "visible": round(float(sample.visible[i]), DIGITS),
        }
        for i in range(sample.people)
    ]
    return {
        "image": f"{IMAGES}/{seed:08d}.png",
        "maps": f"{MAPS}/{seed:08d}.npz",
        "seed": seed,
        "intrinsics": _plain(sample.intrinsics),
        "people": people,
    }


def _plain(values: np.ndarray) -> list[Any]:
    return np.round(values.astype(np.float64), DIGITS).tolist()
