"""3DPW (von Marcard et al., ECCV 2018): outdoor videos with SMPL people from IMUs and a moving camera.

Layout (its readme.txt): `sequenceFiles/SPLIT/NAME.pkl`, a dictionary with, per actor, genders ("m", "f"), poses [N, 72]
(axis-angle, world frame), trans [N, 3], betas, jointPositions [N, 72] (24 SMPL joints in metres, world frame),
campose_valid [N]; and per frame cam_poses [N, 4, 4] (world to camera) and cam_intrinsics [3, 3]. Frame i is
`imageFiles/NAME/image_{i:05d}.jpg`. The pickles come from Python 2.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from bodykit.body import BETAS, Body
from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_vertices
from depthhmr.data.body_transfer import EXACT_M, BodyTransfer, SmplPerson, rms
from depthhmr.data.picture import About, Picture
from depthhmr.data.unpickle import read_pickle

KEYS = ("sequence", "poses", "betas", "jointPositions", "cam_poses", "campose_valid", "cam_intrinsics")
GENDERS = {"m": "male", "f": "female", "male": "male", "female": "female"}
NO_BODIES: Mapping[str, Body] = MappingProxyType({})


def read(
    source: Path, images: Path, transfer: BodyTransfer, *, every: int = 1, bodies: Mapping[str, Body] = NO_BODIES
) -> Iterator[Picture]:
    """Every `every`-th frame of one sequence file, or of all under a folder, with the actors whose camera is valid.

    `bodies`, for an evaluation: SMPL's female and male bodies, by gender, to which the betas belong; people then keep
    the true vertices of these (80 KB each). Passers-by are not labelled, so no picture is complete. Raises UserError
    for files of another form.
    """
    files = sorted(source.rglob("*.pkl")) if source.is_dir() else [source]
    if not files:
        raise UserError(f"expected 3DPW's sequenceFiles or one of its splits (.pkl) at {source}, found none")
    for path in files:
        yield from _sequence(path, images, transfer, every, bodies)


def _sequence(
    path: Path, images: Path, transfer: BodyTransfer, every: int, bodies: Mapping[str, Body]
) -> Iterator[Picture]:
    content = read_pickle(path)
    missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise UserError(f"{path} is not a sequence of 3DPW: it lacks {', '.join(missing)}")
    try:
        matrix = np.asarray(content["cam_intrinsics"], float)
        camera = Intrinsics(matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
        cameras = np.asarray(content["cam_poses"], float).reshape(-1, 4, 4)
        actors = range(len(content["poses"]))
        valid = [np.asarray(content["campose_valid"][actor]).astype(bool) for actor in actors]
        genders = [GENDERS.get(str(letter)) for letter in content.get("genders", [None] * len(actors))]
        for frame in range(0, len(cameras), every):
            people = tuple(
                transfer.person(
                    _person(content, actor, frame, cameras[frame], bodies.get(genders[actor] or "")),
                    camera,
                    about=About(gender=genders[actor]),
                )
                for actor in actors
                if valid[actor][frame]
            )
            if people:
                file = images / str(content["sequence"]) / f"image_{frame:05d}.jpg"
                yield Picture(file, people, camera, metric=True)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        reason = error if isinstance(error, ValueError) else repr(error)
        raise UserError(f"{path} is not a sequence of 3DPW: {reason}") from error


def _person(content: Mapping[str, Any], actor: int, frame: int, camera: np.ndarray, body: Body | None) -> SmplPerson:
    turn, shift = camera[:3, :3], camera[:3, 3]
    rotations = axis_angle_to_matrix(np.asarray(content["poses"][actor][frame], float).reshape(24, 3))
    rotations[0] = turn @ rotations[0]
    joints = np.asarray(content["jointPositions"][actor][frame], float).reshape(24, 3) @ turn.T + shift
    if not np.isfinite(joints).all():
        raise ValueError(f"actor {actor} has joints in frame {frame} that are not finite")
    betas = np.asarray(content["betas"][actor], float).ravel()[:BETAS]
    if body is None:
        return SmplPerson(rotations, betas, joints)
    vertices, own = pose_vertices(body, betas[None], rotations[None], joints[None, 0])
    if rms(own[0] - joints) > EXACT_M:
        raise ValueError(
            f"the body of actor {actor} ({body.name}) has its joints {1000 * rms(own[0] - joints):.0f} mm off "
            f"jointPositions, expected {1000 * EXACT_M:.0f} mm at most: is it SMPL's for the actor's gender?"
        )
    return SmplPerson(rotations, betas, joints, vertices[0])
