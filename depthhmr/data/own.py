"""Custom data: a file of JSON lines beside its pictures, one line per picture. docs/data.md has the table of fields.

A rendered data set of `depthhmr synth --out` has this form.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bodykit.body import BETAS, JOINT_NAMES, JOINTS, Body
from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_joints
from depthhmr.data.body_transfer import posed, rms
from depthhmr.data.joints import MIN_JOINTS
from depthhmr.data.picture import NO_LAYER, Person, Picture, Pose
from depthhmr.data.unpickle import read_npz

PICTURE_FIELDS = ("image", "intrinsics", "people", "everyone", "metric", "maps", "seed")
PERSON_FIELDS = ("pose", "betas", "translation", "joints_2d", "joints_3d", "visible", "layer", "id", "box")
SAME_JOINT_M = 0.02  # how far given joints may lie from those of the pose


@dataclass(frozen=True)
class Place:
    """Where in the file a value stands, for errors."""

    path: Path
    line: int
    field: str = ""

    def of(self, name: str) -> "Place":
        return Place(self.path, self.line, f"{self.field}.{name}" if self.field else name)

    def at(self, index: int) -> "Place":
        return Place(self.path, self.line, f"{self.field}[{index}]")

    def error(self, expected: str, came: Any) -> UserError:
        text = str(came) if isinstance(came, str | Path) else json.dumps(came)
        shown = text if len(text) <= 60 or isinstance(came, Path) else f"{text[:57]}..."
        what = f", field {self.field}" if self.field else ""
        return UserError(f"{self.path}, line {self.line}{what}: expected {expected}, got {shown}")


def read(path: Path, body: Body, *, everyone: bool = False, metric: bool = False) -> Iterator[Picture]:
    """The pictures of a file. `everyone` and `metric` are the defaults of the lines.

    Raises UserError that names file, line and field, what was expected and what came.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _picture(line, Place(path, number), body, everyone, metric)


def _picture(line: str, place: Place, body: Body, everyone: bool, metric: bool) -> Picture:
    try:
        item = json.loads(line)
    except ValueError as error:
        raise place.error(f"a JSON object ({error})", line) from error
    _known_fields(item, PICTURE_FIELDS, place)
    file = _file(item.get("image"), place.of("image"), "a picture")
    depth = None
    if item.get("maps") is not None:
        maps = _file(item["maps"], place.of("maps"), "an npz file with `depth`, or of an npy file")
        depth = partial(_depth, maps, place.of("maps"))
    camera = None
    if item.get("intrinsics") is not None:
        numbers = _numbers(item["intrinsics"], (4,), place.of("intrinsics"), "fx, fy, cx, cy in pixels")
        try:
            camera = Intrinsics(*(float(number) for number in numbers))
        except ValueError as error:
            raise place.of("intrinsics").error(f"fx, fy, cx, cy ({error})", item["intrinsics"]) from error
    people = item.get("people", [])
    if not isinstance(people, list):
        raise place.of("people").error("a list", people)
    inside = place.of("people")
    return Picture(
        file,
        tuple(_person(person, inside.at(i), body, camera) for i, person in enumerate(people)),
        camera,
        everyone=_flag(item, "everyone", everyone, place),
        metric=_flag(item, "metric", metric, place),
        depth=depth,
    )


def _person(item: Any, place: Place, body: Body, camera: Intrinsics | None) -> Person:
    _known_fields(item, PERSON_FIELDS, place)
    visible = float(_numbers(item.get("visible", 1.0), (), place.of("visible"), "a share from 0 to 1"))
    if not 0 <= visible <= 1:
        raise place.of("visible").error("a share from 0 to 1", item["visible"])
    layer = item.get("layer", NO_LAYER)
    if isinstance(layer, bool) or not isinstance(layer, int) or not NO_LAYER <= layer < 2**15:
        raise place.of("layer").error("0 for the nearest layer, 1, 2, ... behind it, or -1", layer)
    if "pose" in item or "joints_3d" in item:
        if camera is None:
            raise place.error("intrinsics beside people in 3D", item)
        pose = _pose(item, place, body)
        person = posed(pose, camera, visible=visible)
        return Person(person.joints_2d, person.known_2d, pose, visible, layer)
    joints = _joints_2d(item.get("joints_2d"), place.of("joints_2d"))
    return Person(joints, np.isfinite(joints).all(axis=1), None, visible, layer)


def _pose(item: Mapping[str, Any], place: Place, body: Body) -> Pose:
    missing = [name for name in ("pose", "betas", "translation") if name not in item]
    if missing:
        raise place.error(f"{', '.join(missing)} beside the other fields of a person in 3D", item)
    angles = _numbers(item["pose"], (JOINTS, 3), place.of("pose"), "axis-angle vectors in radians")
    rotations = axis_angle_to_matrix(angles)
    betas = _numbers(item["betas"], (BETAS,), place.of("betas"), "betas")
    translation = _numbers(item["translation"], (3,), place.of("translation"), "the pelvis in metres")
    joints = pose_joints(body, betas[None], rotations[None], translation[None])[0]
    if "joints_3d" in item:
        given = _numbers(item["joints_3d"], (JOINTS, 3), place.of("joints_3d"), "metres in the camera frame")
        if rms(given - joints) > SAME_JOINT_M:
            apart = f"joints {1000 * rms(given - joints):.0f} mm from them (root mean square)"
            raise place.of("joints_3d").error(f"the joints that {body.name} has in this pose", apart)
    return Pose(rotations, betas, joints)


def _joints_2d(value: Any, place: Place) -> np.ndarray:
    """Joints [24, 2] out of {name: [x, y]} or of 24 entries [x, y] or null."""
    joints = np.full((JOINTS, 2), np.nan)
    if isinstance(value, dict):
        unknown = [name for name in value if name not in JOINT_NAMES]
        if unknown:
            raise place.error(f"names of joints ({', '.join(JOINT_NAMES)})", unknown[0])
        pairs = [(JOINT_NAMES.index(name), place.of(name), point) for name, point in value.items()]
    elif isinstance(value, list) and len(value) == JOINTS:
        pairs = [(i, place.at(i), point) for i, point in enumerate(value)]
    else:
        raise place.error(f"an object of joints by name, or a list of {JOINTS} points", value)
    for joint, where, point in pairs:
        if point is not None:
            joints[joint] = _numbers(point, (2,), where, "x and y in pixels")
    if np.isfinite(joints[:, 0]).sum() < MIN_JOINTS:
        raise place.error(f"at least {MIN_JOINTS} joints", value)
    return joints


def _file(value: Any, place: Place, what: str) -> Path:
    if not isinstance(value, str):
        raise place.error(f"the path of {what}, from the folder of {place.path.name}", value)
    file = place.path.parent / value
    if not file.is_file():
        raise place.error(f"the path of {what} that exists", file)
    return file


def _depth(path: Path, place: Place) -> np.ndarray:
    """The depth map in an npz (entry `depth`) or npy file, float32 [H, W]."""
    try:
        depth = np.load(path, allow_pickle=False) if path.suffix == ".npy" else read_npz(path, ("depth",))["depth"]
    except (OSError, ValueError, EOFError, UserError) as error:
        raise place.error(f"a readable npz or npy file of depths ({error})", path) from error
    if depth.ndim != 2 or depth.dtype.kind not in "fiu" or not np.isfinite(depth).all() or depth.min() < 0:
        came = f"{depth.dtype} {list(depth.shape)}"
        raise place.error("finite metres [H, W], 0 without a person", came)
    return depth.astype(np.float32)


def _known_fields(item: Any, fields: tuple[str, ...], place: Place) -> None:
    if not isinstance(item, dict):
        raise place.error("an object", item)
    unknown = [name for name in item if name not in fields]
    if unknown:
        raise place.error(f"the fields {', '.join(fields)}", unknown[0])


def _flag(item: Mapping[str, Any], name: str, default: bool, place: Place) -> bool:
    value = item.get(name, default)
    if not isinstance(value, bool):
        raise place.of(name).error("true or false", value)
    return value


def _numbers(value: Any, shape: tuple[int, ...], place: Place, what: str) -> np.ndarray:
    try:
        array = np.array(value, dtype=float)
    except (TypeError, ValueError):
        array = None
    if array is None or array.shape != shape or not np.isfinite(array).all() or value is None:
        size = " x ".join(str(side) for side in shape) or "one"
        raise place.error(f"{size} finite number{'s' if shape else ''}: {what}", value)
    return array
