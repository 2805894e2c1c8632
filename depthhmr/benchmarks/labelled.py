"""Pictures of the readers in depthhmr/data, and what a network said of them, as the public evaluations want them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bodykit.body import BETAS, JOINT_NAMES, JOINTS, Body
from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.skinning import pose_vertices
from depthhmr.answers import NEAREST_M
from depthhmr.benchmarks.agora import AgoraTruth
from depthhmr.benchmarks.people import People
from depthhmr.benchmarks.relative_human import LayerPrediction, LayerTruth
from depthhmr.data.picture import Person, Picture
from depthhmr.photos import UNLABELLED, PhotoAnswer

# CrowdPose's joints that our body has; the fourteenth is the top of the head.
LAYER_JOINTS = [
    JOINT_NAMES.index(name)
    for name in (*(f"{side}_{part}" for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
                   for side in ("left", "right")), "neck")
]  # fmt: skip
OCCLUSION_DIGITS = 6  # the readers keep 1 - occlusion / 100; 90 % must not come back as 90.00000000000001
UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class Shown:
    """A labelled picture, to be shown to a network with its own camera."""

    picture: Picture

    @property
    def name(self) -> str:
        return self.picture.path.stem

    @property
    def joints(self) -> np.ndarray:
        return UNLABELLED

    @property
    def intrinsics(self) -> Intrinsics | None:
        return self.picture.intrinsics

    def pixels(self) -> np.ndarray:
        return self.picture.pixels()


Ask = Callable[[list[Shown]], Iterator[PhotoAnswer]]


def answered(pictures: Iterable[Picture], ask: Ask, batch: int) -> Iterator[tuple[Picture, PhotoAnswer]]:
    """Every picture with the network's answer, `batch` at a time: a data set need not fit into memory."""
    group: list[Shown] = []
    for picture in pictures:
        group.append(Shown(picture))
        if len(group) == batch:
            yield from _asked(group, ask)
            group = []
    yield from _asked(group, ask)


def _asked(group: list[Shown], ask: Ask) -> Iterator[tuple[Picture, PhotoAnswer]]:
    if group:
        yield from zip((shown.picture for shown in group), ask(group), strict=True)


def predicted_people(answer: PhotoAnswer, body: Body, threshold: float) -> People:
    """Whoever the network reports from `threshold` on."""
    chosen = answer.people(threshold)
    parts = (answer.outputs[name][chosen] for name in ("betas", "rotations", "translation"))
    return _people(body, *parts, answer.joints_2d[chosen])


def true_people(picture: Picture, body: Body) -> tuple[People, list[Person]]:
    """The people of a picture that are known in 3D, and their labels."""
    if picture.intrinsics is None:
        raise UserError(f"{picture.path} has no camera, which people in 3D cannot be projected without")
    posed = [(person, person.pose) for person in picture.people if person.pose is not None]
    joints = np.array([pose.joints_3d for _, pose in posed]).reshape(-1, JOINTS, 3)
    in_front = np.concatenate([joints[..., :2], np.maximum(joints[..., 2:], NEAREST_M)], axis=-1)
    betas = np.array([pose.betas for _, pose in posed], np.float32).reshape(-1, BETAS)
    rotations = np.array([pose.rotations for _, pose in posed], np.float32).reshape(-1, JOINTS, 3, 3)
    translation = joints[:, 0].astype(np.float32)
    people = _people(body, betas, rotations, translation, picture.intrinsics.project(in_front))
    return people, [person for person, _ in posed]


def agora_pictures(
    answers: Iterable[tuple[Picture, PhotoAnswer]], body: Body, threshold: float
) -> Iterator[tuple[People, AgoraTruth]]:
    """For `score_agora`. The readers do not tell children from adults."""
    for picture, answer in answers:
        people, labels = true_people(picture, body)
        occlusion = np.array([round(100 * (1 - label.visible), OCCLUSION_DIGITS) for label in labels])
        yield (
            predicted_people(answer, body, threshold),
            AgoraTruth(people, occlusion, np.zeros(len(people), dtype=bool)),
        )


def threedpw_pictures(
    answers: Iterable[tuple[Picture, PhotoAnswer]], body: Body, threshold: float
) -> Iterator[tuple[People, People]]:
    """For `score_3dpw`."""
    for picture, answer in answers:
        yield predicted_people(answer, body, threshold), true_people(picture, body)[0]


def layer_pictures(
    answers: Iterable[tuple[Picture, PhotoAnswer]], threshold: float
) -> Iterator[tuple[LayerPrediction, LayerTruth]]:
    """For `score_layers`. The readers tell no ages, and leave people with hardly any joint out."""
    for picture, answer in answers:
        chosen = answer.people(threshold)
        people = [person for person in picture.people if np.isfinite(person.joints_2d[LAYER_JOINTS, 0]).any()]
        joints = np.array([person.joints_2d[LAYER_JOINTS] for person in people]).reshape(-1, len(LAYER_JOINTS), 2)
        layers = np.array([person.layer for person in people], dtype=int)
        yield (
            LayerPrediction(answer.joints_2d[chosen][:, LAYER_JOINTS], answer.outputs["translation"][chosen, 2]),
            LayerTruth(joints, layers, np.full(len(people), UNKNOWN)),
        )


def read_regressor(path: Path) -> np.ndarray:
    """A .npy array of numbers [joints, vertices]. Raises UserError for another file."""
    return _read_array(
        path, "a matrix of joints by vertices", lambda array: array.ndim == 2 and array.dtype.kind == "f"
    )


def read_vertices(path: Path) -> np.ndarray:
    """A .npy list of vertex numbers. Raises UserError for another file."""
    return _read_array(path, "a list of vertex numbers", lambda array: array.ndim == 1 and array.dtype.kind in "iu")


def _read_array(path: Path, what: str, fits: Callable[[np.ndarray], bool]) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"cannot read {path} as a .npy array: {error}") from error
    if not isinstance(array, np.ndarray) or not fits(array):
        got = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "an archive"
        raise UserError(f"expected {what} in {path}, got {got}")
    return array


def _people(
    body: Body, betas: np.ndarray, rotations: np.ndarray, translation: np.ndarray, joints_2d: np.ndarray
) -> People:
    if not len(betas):
        return People(joints_2d, np.zeros((0, JOINTS, 3)), np.zeros((0, len(body.template), 3)))
    vertices, joints = pose_vertices(body, betas, rotations, translation)
    return People(joints_2d, joints, vertices)
