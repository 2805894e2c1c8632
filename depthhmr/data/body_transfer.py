"""Transfer of a data set's SMPL parameters to the body in use.

If the body in use is SMPL itself (`depthhmr body import`, docs/body.md), parameters stay as they are. Another body, like
the free one, has the same tree but other joints: rotations are changed so that the limbs point where SMPL's do, and betas
and place are fitted to the given joints. A person that does not fit closely enough keeps 2D joints and no pose.
"""

from dataclasses import dataclass

import numpy as np

from bodykit.body import BETAS, JOINT, JOINTS, SIDES, Body
from bodykit.camera import NEAR_M, Intrinsics
from bodykit.skinning import pose_joints
from depthhmr.data.joints import SAME_JOINTS
from depthhmr.data.picture import NOTHING, About, Person, Pose

# joint -> the joint at the far end of its bone
BONES = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
LIMBS = {JOINT[f"{side}_{near}"]: JOINT[f"{side}_{far}"] for near, far in BONES for side in SIDES}
COMPARED = np.array(sorted({*LIMBS, *LIMBS.values()}))
EXACT_M = 0.01  # root mean square over all joints below which two bodies are one: labels are rounded
FARTHEST_BETA = 4.0  # standard deviations; beyond, the shape is not plausible (small children)
NOISE_M = 0.02  # of a joint, against betas of standard deviation 1


@dataclass(frozen=True, eq=False)
class SmplPerson:
    """SMPL parameters and joints of one person, camera frame."""

    rotations: np.ndarray  # [24, 3, 3], joint 0 into the camera frame
    betas: np.ndarray  # [10]
    joints: np.ndarray  # [24, 3] metres
    vertices: np.ndarray | None = None  # [6890, 3] metres, if the data set or a gendered body gives them


@dataclass(frozen=True)
class BodyTransfer:
    """From SMPL to `body`. A fit is rejected if its limbs are off by more than `tolerance_m` (root mean square), or if its
    betas are not plausible."""

    body: Body
    tolerance_m: float = 0.04

    def person(self, smpl: SmplPerson, camera: Intrinsics, *, visible: float = 1.0, about: About = NOTHING) -> Person:
        """The person on `body`; without a fit, SMPL's joints as pixels, with the limbs marked as known."""
        pose = self.pose(smpl)
        if pose is not None:
            return posed(pose, camera, visible=visible, about=about)
        in_front = smpl.joints[:, 2] > NEAR_M
        pixels = np.full((JOINTS, 2), np.nan)
        pixels[in_front] = camera.project(smpl.joints[in_front])
        return Person(pixels, SAME_JOINTS & in_front, visible=visible, about=about)

    def pose(self, smpl: SmplPerson) -> Pose | None:
        """The pose that puts the joints of `body` where SMPL's are, or None.

        A person with a given surface, in the vertices of this body, needs no fit and keeps joints and surface.
        """
        if smpl.vertices is not None and smpl.vertices.shape == self.body.template.shape:
            return Pose(smpl.rotations, smpl.betas, smpl.joints, smpl.vertices)
        own = self._joints(smpl.betas[None], smpl.rotations, smpl.joints[0])[0]
        if rms(own - smpl.joints) <= EXACT_M:
            return Pose(smpl.rotations, smpl.betas, own)
        rotations = self.aim(smpl)
        betas, pelvis = self.fit(rotations, smpl.joints)
        own = self._joints(betas[None], rotations, pelvis)[0]
        fits = rms((own - smpl.joints)[COMPARED]) <= self.tolerance_m and np.abs(betas).max() <= FARTHEST_BETA
        return Pose(rotations, betas, own) if fits else None

    def aim(self, smpl: SmplPerson) -> np.ndarray:
        """Rotations [24, 3, 3] under which our limbs point where SMPL's do, with the same twist about them.

        SMPL's bones at rest follow from its joints and rotations, so this needs no SMPL file.
        """
        parents = self.body.parents
        world = np.empty((JOINTS, 3, 3))
        for joint, parent in enumerate(parents):
            local = smpl.rotations[joint]
            world[joint] = local if parent < 0 else world[parent] @ local
        for joint, end in LIMBS.items():
            theirs = world[joint].T @ (smpl.joints[end] - smpl.joints[joint])
            ours = self.body.joint_template[end] - self.body.joint_template[joint]
            world[joint] = world[joint] @ shortest_turn(ours, theirs)
        return np.stack([world[j] if p < 0 else world[p].T @ world[j] for j, p in enumerate(parents)])

    def fit(self, rotations: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Betas [10] and place of the pelvis [3]: least squares over limb joints, likely betas preferred.

        Joints are linear in both when the rotations are fixed, so this is one small linear system.
        """
        shapes = np.concatenate([np.zeros((1, BETAS)), np.eye(BETAS)])
        posed_shapes = self._joints(shapes, rotations, np.zeros(3))[:, COMPARED].astype(np.float64)
        mean, directions = posed_shapes[0], posed_shapes[1:] - posed_shapes[0]  # [n, 3], [10, n, 3]
        place = np.tile(np.eye(3), (len(COMPARED), 1))
        matrix = np.concatenate([directions.reshape(BETAS, -1).T, place], axis=1) / NOISE_M
        prior = np.concatenate([np.eye(BETAS), np.zeros((BETAS, 3))], axis=1)
        target = np.concatenate([(joints[COMPARED] - mean).ravel() / NOISE_M, np.zeros(BETAS)])
        solution = np.linalg.lstsq(np.concatenate([matrix, prior]), target, rcond=None)[0]
        return solution[:BETAS], solution[BETAS:]

    def _joints(self, betas: np.ndarray, rotations: np.ndarray, pelvis: np.ndarray) -> np.ndarray:
        count = len(betas)
        return pose_joints(
            self.body,
            betas,
            np.broadcast_to(rotations, (count, JOINTS, 3, 3)),
            np.broadcast_to(pelvis, (count, 3)),
        )


def posed(pose: Pose, camera: Intrinsics, *, visible: float = 1.0, about: About = NOTHING) -> Person:
    """A person with a full pose; the joints in front of the camera have pixels."""
    in_front = pose.joints_3d[:, 2] > NEAR_M
    pixels = np.full((JOINTS, 2), np.nan)
    pixels[in_front] = camera.project(pose.joints_3d[in_front])
    return Person(pixels, in_front, pose, visible=visible, about=about)


def smpl_joints(smpl: Body, betas: np.ndarray, rotations: np.ndarray, transl: np.ndarray) -> np.ndarray:
    """Joints [24, 3] as SMPL's code computes them: it turns the body about its resting pelvis and then adds `transl`.

    smpl: a licensed user's own file, imported. Our translation is the pelvis itself, hence the sum.
    """
    pelvis = smpl.joint_template[0] + smpl.joint_shapedirs[0] @ betas + transl
    return pose_joints(smpl, betas[None], rotations[None], pelvis[None])[0]


def shortest_turn(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The rotation [3, 3] by the smallest angle that turns direction `start` [3] into direction `end` [3]."""
    a, b = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis, cosine = np.cross(a, b), float(a @ b)
    if cosine < -1 + 1e-9:  # opposite: any axis across will do
        across = np.cross(a, np.eye(3)[np.argmin(np.abs(a))])
        across /= np.linalg.norm(across)
        return 2 * np.outer(across, across) - np.eye(3)
    x, y, z = axis
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)


def rms(error: np.ndarray) -> float:
    """Root mean square length of vectors [..., 3]."""
    return float(np.sqrt(np.square(error).sum(axis=-1).mean()))
