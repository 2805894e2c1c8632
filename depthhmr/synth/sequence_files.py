"""A sequence as files: JPEG frames and their labels, one line per frame."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from bodykit.errors import UserError
from bodykit.rotations import matrix_to_axis_angle
from depthhmr.synth.sequence import Frame, PeopleSequence

FRAMES, ANNOTATIONS = "frames", "annotations.jsonl"
DIGITS = 4  # decimals of written metres, radians and pixels


def write_sequence(sequence: PeopleSequence, folder: Path, *, quality: int = 90, progress: bool = False) -> int:
    """Writes `frames/000000.jpg` ... and `annotations.jsonl`; returns the number of frames.

    Raises UserError if the folder already holds annotations.
    """
    target = folder / ANNOTATIONS
    if target.exists():
        raise UserError(f"expected a folder without a sequence, {target} exists")
    (folder / FRAMES).mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8") as lines:
        for index, frame in enumerate(tqdm(sequence, total=len(sequence), unit="frame", disable=not progress)):
            name = f"{FRAMES}/{index:06d}.jpg"
            Image.fromarray(frame.rgb).save(folder / name, quality=quality)
            lines.write(json.dumps({"image": name, "seed": sequence.seed} | annotation(frame)) + "\n")
    return len(sequence)


def annotation(frame: Frame) -> dict[str, Any]:
    """The labels of a frame as plain lists, in pixels of the frame; `pose` is axis-angle.

    Every line has all people of the sequence, also those outside the picture (`visible` 0); `id` is the person.
    """
    sample, camera = frame.sample, frame.intrinsics
    corner = np.array(frame.region[:2], np.float32)
    return {
        "time_s": round(frame.time_s, 6),
        "intrinsics": _plain(camera.array()),
        "people": [
            {
                "id": i + 1,
                "pose": _plain(matrix_to_axis_angle(sample.rotations[i])),
                "betas": _plain(sample.betas[i]),
                "translation": _plain(sample.translation[i]),
                "joints_3d": _plain(sample.joints_3d[i]),
                "joints_2d": _plain(sample.joints_2d[i] - corner),
                "box": _plain(sample.boxes[i] - np.tile(corner, 2)),
                "visible": round(float(sample.visible[i]), DIGITS),
            }
            for i in range(sample.people)
        ],
    }


def _plain(values: np.ndarray) -> list[Any]:
    return np.round(values.astype(np.float64), DIGITS).tolist()
