"""SMPL parameters of one person as an .npz with the keys of AMASS, which the field's Blender add-ons read. z is up.

Vertices of a frame are those of the body for `poses` and `betas`, plus `trans`; `betas` belong to the body that the
file names, and no other.
"""

import io
import json

import numpy as np

from bodykit.body import JOINT_NAMES, JOINTS, Body
from bodykit.meshio.even import EvenMotion
from bodykit.meshio.zup import CAMERA_TO_Z_UP, Z_UP
from bodykit.rotations import matrix_to_axis_angle


def write(body: Body, motion: EvenMotion, betas: np.ndarray) -> bytes:
    """An .npz file of one person. Reading it needs no pickle."""
    betas = np.asarray(betas, np.float64)
    rotations = motion.rotations.copy()
    rotations[:, 0] = CAMERA_TO_Z_UP @ rotations[:, 0]
    pelvis = motion.translation @ CAMERA_TO_Z_UP.T
    rest = body.joint_template + body.joint_shapedirs @ betas  # [24, 3]
    rate = np.float64(motion.fps)
    packed = io.BytesIO()
    np.savez(
        packed,
        poses=matrix_to_axis_angle(rotations).reshape(-1, 3 * JOINTS),
        betas=betas,
        trans=pelvis - rest[0],  # the pelvis turns about itself, so that is where it stays
        gender=np.array("neutral"),
        mocap_frame_rate=rate,
        mocap_framerate=rate,  # AMASS itself has both spellings
        seen=motion.seen,
        joint_names=np.array(JOINT_NAMES),
        parents=np.array(body.parents),
        rest_joints=rest,
        axes=np.array(f"{Z_UP}; metres; poses in radians"),
        body=np.array(json.dumps({"name": body.name, "version": body.version, "sha256": body.sha256})),
    )
    return packed.getvalue()
