"""Motions to write, and independent readers of the files: Khronos' validator and three.js, both under node."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bodykit.body import Body, SparseRows, load_body
from bodykit.meshio.motion import Motion
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_vertices

TESTS = Path(__file__).parents[2]
VALIDATOR = Path(os.environ.get("GLTF_VALIDATOR", TESTS.parent / ".venv/gltf-validator/node_modules/gltf-validator"))
THREE = Path(os.environ.get("THREE_JS", TESTS.parent / ".venv/three/node_modules/three"))


@pytest.fixture(scope="session")
def body() -> Body:
    return load_body()


@pytest.fixture(scope="session")
def body_without_posedirs(body) -> Body:
    """The same body with nothing that depends on the pose, as a plain skin has it."""
    empty = SparseRows(np.zeros(len(body.template) + 1, np.int32), np.zeros(0, np.int32), np.zeros((0, 3), np.float32))
    return replace(body, posedirs=empty)


@pytest.fixture(scope="session")
def motion() -> Callable[..., Motion]:
    """`motion(frames, name=, seed=, bend=)`: somebody 4 m away who turns to the camera and moves a little."""

    def make(frames: Sequence[int], *, name: str = "person_00", seed: int = 0, bend: float = 0.25) -> Motion:
        random = np.random.default_rng(seed)
        count = len(frames)
        pose = random.normal(0, bend, (1, 24, 3)) + random.normal(0, 0.05, (count, 24, 3))
        pose[:, 0] = [np.pi, 0, 0] + random.normal(0, 0.2, (count, 3))  # upright, facing the camera
        place = np.array([0.3, 0.1, 4.0]) + random.normal(0, 0.05, (count, 3))
        return Motion(name, np.array(frames), pose, place, random.normal(0, 1, 10), (90, 150, 220))

    return make


@pytest.fixture(scope="session")
def skinned() -> Callable[[Body, Motion], np.ndarray]:
    """Vertices [K, V, 3] of a motion by our own skinning, camera coordinates."""

    def run(body: Body, moved: Motion) -> np.ndarray:
        rotations = axis_angle_to_matrix(moved.axis_angle).astype(np.float32)
        betas = np.tile(moved.betas.astype(np.float32), (len(moved.frames), 1))
        return pose_vertices(body, betas, rotations, moved.translation.astype(np.float32))[0]

    return run


@pytest.fixture(scope="session")
def validate() -> Callable[[bytes], dict]:
    """The report of Khronos' own validator."""
    if not VALIDATOR.is_dir():
        pytest.skip("the Khronos glTF validator is not installed: run scripts/install-gltf-validator")
    return lambda data: json.loads(under_node("validate_gltf.cjs", str(VALIDATOR), data=data))


@pytest.fixture(scope="session")
def in_three() -> Callable[..., dict]:
    """`in_three(data, times)`: what three.js shows at these times of the animation; None is the file without it."""
    if not THREE.is_dir():
        pytest.skip("three.js is not installed: run scripts/install-three")

    def read(data: bytes, times: Sequence[float | None] = (None,)) -> dict:
        return json.loads(under_node("read_with_three.mjs", str(THREE), json.dumps(list(times)), data=data))

    return read


def under_node(script: str, *arguments: str, data: bytes) -> bytes:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed, so independent readers of glTF cannot run")
    done = subprocess.run([node, TESTS / "tools" / script, *arguments], input=data, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
