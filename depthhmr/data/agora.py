"""AGORA (Patel et al., CVPR 2021): rendered scans with SMPL fits, in pictures of 3840 x 2160 or 1280 x 720.

Layout (github.com/pixelite1201/agora_evaluation, docs/gt_dataframe.md and projection.py): a pickled pandas table per part,
a row per picture: imgPath; camX, camY, camZ (centimetres) and camYaw (degrees); and lists with an entry per person: X, Y,
Z, Yaw, kid, occlusion (percent), isValid, gender, age, ethnicity, gt_path_smpl, and, in the tables "with joints and
vertices", gt_joints_3d and gt_verts (SMPL's, metres, camera frame). A fit is a pickled dictionary with root_pose,
body_pose, betas and translation, arrays or tensors, before the turn and place of its scan. Which camera took a picture
follows from its name.

A child's fit has an eleventh beta: the share of the way from the adult template to a template of small children
(smpl_kid_template.npy, of those who hold SMPL), which smplx calls age="kid".
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bodykit.body import BETAS, JOINTS, Body
from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_vertices
from depthhmr.data.body_transfer import BodyTransfer, SmplPerson, smpl_joints
from depthhmr.data.picture import About, Person, Picture, size_of
from depthhmr.data.unpickle import Row, read_pickle, read_table

SENSOR_MM = 36.0
FLIP = np.diag([1.0, -1.0, -1.0])  # y up to y down
TEXTS = ("gender", "age", "ethnicity")  # columns that some tables have
COLUMNS = ("imgPath", "X", "Y", "Z", "Yaw", "camX", "camY", "camZ", "camYaw", "occlusion", "gt_path_smpl")


@dataclass(frozen=True, eq=False)
class Source:
    """What a person needs beside their row of the table."""

    fits: Path  # folder that gt_path_smpl starts from
    transfer: BodyTransfer
    smpl: Body | None  # a licensed user's own file, imported; for tables without joints
    kid_template: np.ndarray | None  # [V, 3] of the vertices of `smpl`
    surfaces: bool  # keep true surfaces


@dataclass(frozen=True)
class View:
    """A camera of AGORA in Unreal's frame."""

    focal_mm: float
    place_cm: tuple[float, float, float]
    yaw: float  # degrees
    pitch: float
    floor_m: float = 0.0  # added to the height of the camera, y down


FIXED = {  # part of a picture's name -> its camera; any other picture has its camera in the table
    "hdri": View(50, (0, 0, 170), 0, 0),
    "cam00": View(18, (400, -275, 265), 135, 30),
    "cam01": View(18, (400, 225, 265), -135, 30),
    "cam02": View(18, (-490, 170, 265), -45, 30),
    "cam03": View(18, (-490, -275, 265), 45, 30),
    "ag2": View(28, (0, 0, 170), 0, 15),
}


def read(
    source: Path,
    images: Path,
    fits: Path,
    transfer: BodyTransfer,
    smpl: Body | None,
    *,
    kid_template: np.ndarray | None = None,
    surfaces: bool = False,
) -> Iterator[Picture]:
    """The pictures of one table, or of all in a folder. `fits` is the folder that gt_path_smpl starts from.

    Joints come from the table, or, where it has none, from `smpl` (a licensed user's own file, imported). Everyone is
    listed; `visible` is 1 less the occlusion. A child without joints in the table needs `kid_template`; without it
    the child is left out and the picture is not marked as complete. `surfaces`, for an evaluation: people keep their
    true vertices if the table has them (80 KB each), and a child who cannot be placed is an error.
    Raises UserError for files of another form.
    """
    if smpl is not None and kid_template is not None and kid_template.shape != smpl.template.shape:
        raise UserError(
            f"expected a kid template of {len(smpl.template)} vertices as {smpl.name} has, got {list(kid_template.shape)}"
        )
    parts = Source(fits, transfer, smpl, kid_template, surfaces)
    files = sorted(source.glob("*.pkl")) if source.is_dir() else [source]
    if not files:
        raise UserError(f"expected AGORA's camera tables (.pkl) in {source}, found none")
    pictures = {path.name: path for path in sorted(images.rglob("*.png"))}
    for path in files:
        for row in read_table(path):
            missing = [name for name in COLUMNS if name not in row]
            if missing:
                raise UserError(f"{path} is not a camera table of AGORA: it lacks the column {', '.join(missing)}")
            if smpl is None and "gt_joints_3d" not in row:
                raise UserError(
                    f"{path} has no column gt_joints_3d; expected the tables with joints, or your SMPL file in --smpl"
                )
            yield _picture(row, _file(str(row["imgPath"]), pictures, images), parts, path)


def _file(name: str, pictures: dict[str, Path], images: Path) -> Path:
    name = Path(name).name
    for wanted in (name.replace(".png", "_1280x720.png"), name):
        if wanted in pictures:
            return pictures[wanted]
    raise UserError(f"cannot find {name} or {name.replace('.png', '_1280x720.png')} under {images}")


def _picture(row: Row, file: Path, parts: Source, path: Path) -> Picture:
    width, height = size_of(file)
    view = view_of(row)
    focal = view.focal_mm / SENSOR_MM * width
    camera = Intrinsics(focal, focal, width / 2, height / 2)
    try:
        people = [_person(row, i, view, camera, parts) for i in range(len(row["X"]))]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        reason = error if isinstance(error, ValueError) else repr(error)
        raise UserError(f"{path}: the people of {row['imgPath']} are not as in AGORA: {reason}") from error
    placed = tuple(person for person in people if person is not None)
    return Picture(file, placed, camera, everyone=len(placed) == len(people), metric=True)


def view_of(row: Row) -> View:
    """The camera of a picture."""
    for part, view in FIXED.items():
        if part in str(row["imgPath"]):
            return view
    place = float(row["camX"]), float(row["camY"]), float(row["camZ"])
    return View(28, place, float(row["camYaw"]), 0, floor_m=-1.7)


def to_camera(row: Row, i: int, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Rotation [3, 3] and shift [3] in metres from the frame of person i's fit (y up) into the camera's."""
    scan = about_y(float(row["Yaw"][i]) - 90) @ FLIP
    place = from_unreal([row["X"][i], row["Y"][i], row["Z"][i]]) - from_unreal(view.place_cm) - (0, view.floor_m, 0)
    pitch = axis_angle_to_matrix(np.radians([view.pitch, 0.0, 0.0]))
    turn = pitch @ about_y(-view.yaw)
    return turn @ scan, turn @ place


def from_unreal(centimetres: Any) -> np.ndarray:
    """Unreal's x forward, y right, z up in centimetres -> x right, y down, z forward in metres."""
    x, y, z = (float(value) / 100 for value in centimetres)
    return np.array([y, -z, x])


def about_y(degrees: float) -> np.ndarray:
    return axis_angle_to_matrix(np.radians([0.0, degrees, 0.0]))


def kid_body(smpl: Body, kid_template: np.ndarray, share: float) -> Body:
    """The body of a child `share` of the way from SMPL's template to that of small children, both [V, 3].

    The latter is moved so that its vertices have their mean at the origin, as smplx does before it takes the difference.
    """
    away = share * (kid_template - kid_template.mean(axis=0) - smpl.template)
    joints = smpl.joint_regressor.dense(len(smpl.template)) @ away
    return replace(
        smpl,
        sha256="",
        template=(smpl.template + away).astype(np.float32),
        joint_template=(smpl.joint_template + joints).astype(np.float32),
    )


def _person(row: Row, i: int, view: View, camera: Intrinsics, parts: Source) -> Person | None:
    fit = read_pickle(parts.fits / str(row["gt_path_smpl"][i]).replace(".obj", ".pkl"))
    root = _part(fit, "root_pose", "global_orient").reshape(-1, 3)[:1]
    angles = np.concatenate([root, _part(fit, "body_pose").reshape(-1, 3)])
    if angles.shape != (JOINTS, 3):
        raise ValueError(f"the fit {row['gt_path_smpl'][i]} has {len(angles)} rotations, expected SMPL's {JOINTS}")
    local = axis_angle_to_matrix(angles)
    shape = _part(fit, "betas").ravel()
    turn, shift = to_camera(row, i, view)
    about = _about(row, i)
    own = _own_body(row, i, about, shape, parts)
    if "gt_joints_3d" in row:
        joints = _given(row, i, "gt_joints_3d", JOINTS)[:JOINTS]
    elif own is not None:
        translation = _part(fit, "translation", "transl").ravel()
        joints = smpl_joints(own, shape[:BETAS], local, translation) @ turn.T + shift
    else:
        return None
    rotations = np.concatenate([turn[None] @ local[:1], local[1:]])
    vertices = None
    if parts.surfaces and "gt_verts" in row:
        vertices = _given(row, i, "gt_verts", 1)
    elif parts.surfaces and about.kid and own is not None:
        posed = pose_vertices(own, shape[None, :BETAS], rotations[None], joints[None, 0])
        vertices = posed[0][0]
    visible = 1 - min(max(about.occlusion or 0.0, 0.0), 100.0) / 100
    person = SmplPerson(rotations, shape[:BETAS], joints, vertices)
    return parts.transfer.person(person, camera, visible=visible, about=about)


def _about(row: Row, i: int) -> About:
    return About(
        occlusion=float(row["occlusion"][i]),
        kid=bool(row["kid"][i]) if "kid" in row else None,
        scored=bool(row["isValid"][i]) if "isValid" in row else True,
        **{name: str(row[name][i]) for name in TEXTS if name in row},
    )


def _own_body(row: Row, i: int, about: About, shape: np.ndarray, parts: Source) -> Body | None:
    """SMPL, shaped as a child if the person is one; None if that is unknown."""
    if not about.kid or parts.smpl is None:
        return parts.smpl
    if parts.kid_template is None:
        if parts.surfaces and "gt_joints_3d" not in row:
            raise ValueError(
                f"person {i} is a child, which SMPL alone cannot shape: expected a table with joints, or smpl_kid_template.npy"
            )
        return None
    if len(shape) <= BETAS:
        raise ValueError(f"person {i} is a child with {len(shape)} betas, expected {BETAS + 1}")
    return kid_body(parts.smpl, parts.kid_template, float(shape[BETAS]))


def _given(row: Row, i: int, column: str, fewest: int) -> np.ndarray:
    """Points [n, 3] of a person in a column, `fewest` at least."""
    values = row[column][i]
    points = np.zeros(0) if values is None else np.asarray(values, float).ravel()
    if points.size % 3 or points.size < 3 * fewest or not np.isfinite(points).all():
        got = f"{points.size // 3}" if np.isfinite(points).all() else "some that are not finite"
        raise ValueError(f"person {i} needs at least {fewest} points in {column}, got {got}")
    return points.reshape(-1, 3)


def _part(fit: dict[str, Any], *names: str) -> np.ndarray:
    """An entry of a fit under the first of its names that exists: the tool that converted SMPL-X to SMPL renamed two."""
    for name in names:
        if name in fit:
            return np.asarray(fit[name], float)
    raise KeyError(f"a fit without {names[0]}")
