"""BEDLAM (Black et al., CVPR 2023): rendered people in motion, in its SMPL edition.

Layout (github.com/pixelite1201/BEDLAM, data_processing): one `SCENE.npz` per scene with a row per person: imgname,
pose_cam [N, 72] (axis-angle, camera frame), shape [N, 10 or 11], trans_cam [N, 3], cam_ext [N, 4, 4] (its last column is
added to trans_cam), cam_int [N, 3, 3], gtkps [N, J, 2 or 3] (the first 24 are SMPL's joints in pixels). Pictures are
`SCENE/png/IMGNAME`; those of close-up scenes are stored lying and turn clockwise. The files hold no 3D joints: those
come from the user's own SMPL file, and must project onto gtkps.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bodykit.body import Body
from bodykit.camera import NEAR_M, Intrinsics
from bodykit.errors import UserError
from bodykit.rotations import axis_angle_to_matrix
from depthhmr.data.body_transfer import BodyTransfer, SmplPerson, smpl_joints
from depthhmr.data.joints import SAME_JOINTS
from depthhmr.data.picture import Person, Picture, size_of
from depthhmr.data.unpickle import read_npz

KEYS = ("imgname", "pose_cam", "shape", "trans_cam", "cam_ext", "cam_int", "gtkps")
AGREES = 0.03  # of the extent of a person: how far SMPL's joints may lie from gtkps. A body of another gender differs by more


def read(source: Path, images: Path, transfer: BodyTransfer, smpl: Body | None, *, every: int = 1) -> Iterator[Picture]:
    """Every `every`-th picture of one scene file, or of all in a folder. Without `smpl`, people have 2D joints alone.

    All people with at least 8 joints in the picture are listed. Raises UserError for files of another form.
    """
    files = sorted(source.glob("*.npz")) if source.is_dir() else [source]
    if not files:
        raise UserError(f"expected BEDLAM's processed labels (.npz, one per scene) in {source}, found none")
    for path in files:
        yield from _scene(path, images, transfer, smpl, every)


def _scene(path: Path, images: Path, transfer: BodyTransfer, smpl: Body | None, every: int) -> Iterator[Picture]:
    rows = {name: np.asarray(values) for name, values in read_npz(path, KEYS).items()}
    _check(rows, path)
    names = rows["imgname"].astype(str)
    order = list(dict.fromkeys(names.tolist()))
    members: dict[str, list[int]] = {name: [] for name in order}
    for row, name in enumerate(names):
        members[name].append(row)
    for name in order[::every]:
        first = members[name][0]
        matrix = rows["cam_int"][first].astype(float)
        camera = Intrinsics(matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
        people = tuple(_person(rows, row, camera, transfer, smpl) for row in members[name])
        file = _file(images, path.stem, name)
        width, height = size_of(file)
        lying = (width > height) != (camera.cx > camera.cy)
        yield Picture(file, people, camera, everyone=True, metric=True, quarter_turns=int(lying))


def _check(rows: dict[str, Any], path: Path) -> None:
    count = len(rows["imgname"])
    if rows["pose_cam"].ndim == 2 and rows["pose_cam"].shape[1] > 72:
        got = list(rows["pose_cam"].shape)
        raise UserError(
            f"{path}: pose_cam has shape {got}, which is SMPL-X; expected [N, 72] as in BEDLAM's SMPL edition"
        )
    wanted = {"pose_cam": (count, 72), "trans_cam": (count, 3), "cam_ext": (count, 4, 4), "cam_int": (count, 3, 3)}
    for name, shape in wanted.items():
        if rows[name].shape != shape:
            raise UserError(f"{path}: {name} has shape {list(rows[name].shape)}, expected {list(shape)}")
    points, shapes = rows["gtkps"], rows["shape"]
    if points.ndim != 3 or len(points) != count or points.shape[1] < 24 or points.shape[2] < 2:
        raise UserError(f"{path}: gtkps has shape {list(points.shape)}, expected [{count}, 24 or more, 2 or 3]")
    if shapes.ndim != 2 or len(shapes) != count or shapes.shape[1] < 10:
        raise UserError(f"{path}: shape has shape {list(shapes.shape)}, expected [{count}, 10 or more]")


def _person(rows: dict[str, Any], row: int, camera: Intrinsics, transfer: BodyTransfer, smpl: Body | None) -> Person:
    points = rows["gtkps"][row, :24, :2].astype(float)
    if smpl is not None:
        rotations = axis_angle_to_matrix(rows["pose_cam"][row].astype(float).reshape(24, 3))
        betas = rows["shape"][row, :10].astype(float)
        place = rows["trans_cam"][row].astype(float) + rows["cam_ext"][row, :3, 3]
        joints = smpl_joints(smpl, betas, rotations, place)
        if joints[:, 2].min() > NEAR_M:
            miss = np.linalg.norm(camera.project(joints) - points, axis=1).mean()
            if miss <= AGREES * np.ptp(points, axis=0).max():
                return transfer.person(SmplPerson(rotations, betas, joints), camera)
    return Person(points, SAME_JOINTS & np.isfinite(points).all(axis=1))


def _file(images: Path, scene: str, name: str) -> Path:
    places = [images / scene / "png" / name, images / scene / name, images / name]
    for place in places:
        if place.exists():
            return place
    raise UserError(f"expected {name} of {scene}, looked for {', '.join(map(str, places))}")
