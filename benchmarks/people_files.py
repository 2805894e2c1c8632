"""What it costs to write one person's files, and how large they are: the least of many repetitions, in milliseconds.

python -m benchmarks.people_files [REPETITIONS]
"""

import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from bodykit.body import Body, load_body
from bodykit.camera import Intrinsics, PhotoCamera
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_vertices
from service.formats.people_files import PEOPLE_FILES, Scene
from service.results import Person

REPETITIONS = 50


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else REPETITIONS
    for rig in (None, "smpl"):
        scene = scene_of(load_body(), rig)
        for extension, file in PEOPLE_FILES.items():
            if rig is None or extension == "glb":
                name = f"{extension} rigged" if rig else extension
                least, size = least_ms(partial(file.write, scene), repetitions)
                print(f"{name:12} {least:8.2f} ms {size / 1000:8.0f} kB")


def scene_of(body: Body, rig: str | None) -> Scene:
    random = np.random.default_rng(0)
    pose = random.normal(0, 0.3, (24, 3)).astype(np.float32)
    pose[0] = [np.pi, 0, 0]
    rotations = axis_angle_to_matrix(pose)
    betas, place = random.normal(0, 1, 10).astype(np.float32), np.array([0.2, 0.1, 4], np.float32)
    vertices, joints = pose_vertices(body, betas[None], rotations[None], place[None])
    person = Person(0, 0.9, np.zeros(4), place, rotations, pose, betas, joints[0], joints[0, :, :2], 1.7)
    camera = PhotoCamera(Intrinsics.from_fov(1280, 720), 1280, 720)
    return Scene([person], vertices, np.array([[90, 150, 220]]), body, camera, rig)


def least_ms(write: Callable[[], bytes], repetitions: int) -> tuple[float, int]:
    """Milliseconds of the fastest of `repetitions` calls, and the bytes of the file."""
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        content = write()
        times.append(time.perf_counter() - started)
    return 1000 * min(times), len(content)


if __name__ == "__main__":
    main()
