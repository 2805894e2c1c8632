"""Binary glTF 2.0 of one photo's people with skeleton and skin: the pose is in the nodes, and can be changed there."""

from collections.abc import Sequence

from bodykit.body import Body
from bodykit.camera import PhotoCamera
from bodykit.meshio.figure import Figure
from bodykit.meshio.gltf import pack, with_camera
from bodykit.meshio.rigs import RIGS
from bodykit.meshio.skinned import SkinnedPeople, quaternions


def write(body: Body, figures: Sequence[Figure], *, rig: str = "smpl", camera: PhotoCamera | None = None) -> bytes:
    """A .glb file without animation; `rig` names the joints, a key of RIGS. No figures give an empty root node."""
    people = SkinnedPeople(body, joint_names=RIGS[rig])
    for figure in figures:
        motion = figure.motion()
        turns = quaternions(motion.axis_angle)[0]
        people.add(motion.name, motion.colour, motion.betas, turns, motion.translation[0])
    return pack(with_camera(people.document(), camera), people.buffer)
