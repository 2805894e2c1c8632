"""AGORA (Patel et al., CVPR 2021): rendered scans with SMPL fits, in pictures of 3840 x 2160 or 1280 x 720.

Layout (github.com/pixelite1201/agora_evaluation, docs/gt_dataframe.md and projection.py): a pickled pandas table per part,
a row per picture: imgPath; camX, camY, camZ (centimetres) and camYaw (degrees); and lists with an entry per person: X, Y,
Z, Yaw, kid, occlusion (percent), gt_path_smpl, and, in the tables "with joints and vertices", gt_joints_3d (SMPL's,
metres, camera frame). A fit is a pickled dictionary with root_pose, body_pose, betas and translation, arrays or tensors,
before the turn and place of its scan. Which camera took a picture follows from its name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bodykit.body import Body
from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.rotations import axis_angle_to_matrix
from depthhmr.data.carry import Carry, SmplPerson, smpl_joints
from depthhmr.data.picture import Person, Picture, size_of
from depthhmr.data.unpickle import Row, read_pickle, read_table

SENSOR_MM = 36.0
FLIP = np.diag([1.0, -1.0, -1.0])  # y up to y down
COLUMNS = ("imgPath", "X", "Y", "Z", "Yaw", "camX", "camY", "camZ", "camYaw", "occlusion", "gt_path_smpl")


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


def read(source: Path, images: Path, fits: Path, carry: Carry, smpl: Body | None) -> Iterator[Picture]:
    """The pictures of one table, or of all in a folder. `fits` is the folder that gt_path_smpl starts from.

    Joints come from the table, or, where it has none, from `smpl` (a licensed user's own file, imported). Everyone is
    listed; `visible` is what the occlusion leaves. Raises UserError for files of another form.
    """
    files = sorted(source.glob("*.pkl")) if source.is_dir() else [source]
    if not files:
        raise UserError(f"there is no .pkl in {source}; expected AGORA's camera tables")
    pictures = {path.name: path for path in sorted(images.rglob("*.png"))}
    for path in files:
        for row in read_table(path):
            missing = [name for name in COLUMNS if name not in row]
            if missing:
                raise UserError(f"{path} is no camera table of AGORA: it has no column {', '.join(missing)}")
            if smpl is None and "gt_joints_3d" not in row:
                raise UserError(
                    f"{path} has no column gt_joints_3d; expected the tables with joints, or your SMPL file in --smpl"
                )
            yield _picture(row, _file(str(row["imgPath"]), pictures, images), fits, carry, smpl, path)


def _file(name: str, pictures: dict[str, Path], images: Path) -> Path:
    name = Path(name).name
    for wanted in (name.replace(".png", "_1280x720.png"), name):
        if wanted in pictures:
            return pictures[wanted]
    raise UserError(f"cannot find {name} or {name.replace('.png', '_1280x720.png')} under {images}")


def _picture(row: Row, file: Path, fits: Path, carry: Carry, smpl: Body | None, path: Path) -> Picture:
    width, height = size_of(file)
    view = view_of(row)
    focal = view.focal_mm / SENSOR_MM * width
    camera = Intrinsics(focal, focal, width / 2, height / 2)
    try:
        people = tuple(_person(row, i, view, camera, fits, carry, smpl) for i in range(len(row["X"])))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path}: the people of {row['imgPath']} are not as in AGORA: {error!r}") from error
    return Picture(file, people, camera, everyone=True, metric=True)


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


def _person(row: Row, i: int, view: View, camera: Intrinsics, fits: Path, carry: Carry, smpl: Body | None) -> Person:
    fit = read_pickle(fits / str(row["gt_path_smpl"][i]).replace(".obj", ".pkl"))
    root = _part(fit, "root_pose", "global_orient").reshape(-1, 3)[:1]
    angles = np.concatenate([root, _part(fit, "body_pose").reshape(-1, 3)])
    if angles.shape != (24, 3):
        raise ValueError(f"the fit {row['gt_path_smpl'][i]} has {len(angles)} rotations, expected SMPL's 24")
    local = axis_angle_to_matrix(angles)
    betas = _part(fit, "betas").ravel()[:10]
    turn, shift = to_camera(row, i, view)
    if "gt_joints_3d" in row:
        joints = np.asarray(row["gt_joints_3d"][i], float).reshape(-1, 3)[:24]
    else:
        assert smpl is not None
        joints = smpl_joints(smpl, betas, local, _part(fit, "translation", "transl").ravel()) @ turn.T + shift
    rotations = np.concatenate([turn[None] @ local[:1], local[1:]])
    visible = 1 - min(max(float(row["occlusion"][i]), 0.0), 100.0) / 100
    return carry.person(SmplPerson(rotations, betas, joints), camera, visible=visible)


def _part(fit: dict[str, Any], *names: str) -> np.ndarray:
    """An entry of a fit under the first of its names that is there: the tool that made SMPL out of SMPL-X renamed two."""
    for name in names:
        if name in fit:
            return np.asarray(fit[name], float)
    raise KeyError(f"a fit without {names[0]}")
