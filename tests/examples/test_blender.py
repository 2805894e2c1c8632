"""examples/blender in a real Blender, which is asked for what it then has."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bodykit.body import load_body
from bodykit.camera import Intrinsics, PhotoCamera
from bodykit.meshio import rigged, smpl_npz
from bodykit.meshio.even import evenly
from bodykit.meshio.figure import Figure
from bodykit.meshio.motion import Motion
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_joints

SCRIPT = Path(__file__).parents[2] / "examples" / "blender" / "lay_over_photo.py"
CAMERA = PhotoCamera(
    Intrinsics(45.0, 55.0, 60.0, 30.0), 128, 72
)  # neither square pixels nor a principal point in the middle
TO_Z_UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
PRINT_JOINTS = """
import bpy, json
from bpy_extras.object_utils import world_to_camera_view
scene = bpy.context.scene
(armature,) = [item for item in bpy.data.objects if item.type == "ARMATURE"]
frames = []
for frame in range({frames}):
    scene.frame_set(frame)
    heads = {{bone.name: armature.matrix_world @ bone.head for bone in armature.pose.bones}}
    seen = {{name: world_to_camera_view(scene, scene.camera, head)[:2] for name, head in heads.items()}} if scene.camera else {{}}
    frames.append([{{name: head[:] for name, head in heads.items()}}, seen])
photos = [picture.image.filepath for picture in scene.camera.data.background_images] if scene.camera else []
print("FOUND " + json.dumps([frames, photos]))
"""


def in_blender(folder: Path, *arguments: str, frames: int = 1) -> list:
    """Joints by name in each frame, in the world and in the picture (0 to 1 from its lower left); background pictures."""
    blender = shutil.which("blender")
    if blender is None:
        pytest.skip("Blender is not installed: scripts/install-blender")
    (folder / "ask.py").write_text(PRINT_JOINTS.format(frames=frames))
    scripts = ["--python", str(SCRIPT), "--python", str(folder / "ask.py")]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [blender, "--background", "--factory-startup", *scripts, "--", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=clean,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, done.stdout + done.stderr
    return json.loads(lines[0].removeprefix("FOUND "))


@pytest.fixture
def motion() -> Motion:
    random = np.random.default_rng(0)
    pose = random.normal(0, 0.3, (3, 24, 3))
    pose[:, 0] = [np.pi, 0, 0]
    return Motion("person_00", np.arange(3), pose, random.normal([0.2, 0.1, 4], 0.1, (3, 3)), random.normal(0, 1, 10))


def joints_of(motion: Motion) -> np.ndarray:
    betas = np.tile(np.float32(motion.betas), (3, 1))
    rotations = np.float32(axis_angle_to_matrix(motion.axis_angle))
    return pose_joints(load_body(), betas, rotations, np.float32(motion.translation))


def test_the_photo_lies_behind_the_people(motion, tmp_path):
    figure = Figure("person_00", motion.axis_angle[0], motion.translation[0], motion.betas)
    (tmp_path / "people.glb").write_bytes(rigged.write(load_body(), [figure], camera=CAMERA))
    Image.new("RGB", (128, 72)).save(tmp_path / "photo.jpg")

    found, photos = in_blender(tmp_path, str(tmp_path / "people.glb"), str(tmp_path / "photo.jpg"))

    ((world, seen),) = found
    expected = joints_of(motion)[0]
    assert np.abs(np.array(list(world.values()))[0] - expected[0] @ TO_Z_UP.T).max() < 1e-4
    pixels = dict(zip(rigged.RIGS["smpl"], CAMERA.intrinsics.project(expected), strict=True))
    for name, (across, up) in seen.items():
        assert (across * CAMERA.width, (1 - up) * CAMERA.height) == pytest.approx(pixels[name], abs=0.01)
    assert [Path(photo).name for photo in photos] == ["photo.jpg"]


def test_parameters_become_an_armature_that_moves(motion, tmp_path):
    content = smpl_npz.write(load_body(), evenly(motion, np.arange(3) / 24), motion.betas)
    (tmp_path / "person.npz").write_bytes(content)

    found, _ = in_blender(tmp_path, str(tmp_path / "person.npz"), frames=3)

    for (world, _), expected in zip(found, joints_of(motion) @ TO_Z_UP.T, strict=True):
        joints = [world[name] for name in rigged.RIGS["smpl"]]
        assert np.abs(np.array(joints) - expected).max() < 1e-4
