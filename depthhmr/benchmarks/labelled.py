"""Pictures of the readers in depthhmr/data and the predictions on them, in the form of the public evaluations."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bodykit.body import BETAS, JOINT_NAMES, JOINTS, Body
from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.skinning import pose_vertices
from depthhmr.benchmarks.agora import ADULT, CHILD, AgoraTruth
from depthhmr.benchmarks.people import ABOUT, LABELS, People
from depthhmr.benchmarks.relative_human import LayerPrediction, LayerTruth
from depthhmr.data.picture import About, Person, Picture, Pose
from depthhmr.data.relative_human import AGES, GENDERS
from depthhmr.evaluation.photos import UNLABELLED, PhotoPrediction

# CrowdPose's joints that our body has; the fourteenth is the top of the head.
LAYER_JOINTS = [
    JOINT_NAMES.index(name)
    for name in (*(f"{side}_{part}" for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
                   for side in ("left", "right")), "neck")
]  # fmt: skip
UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class LabelledPicture:
    """A labelled picture as the network gets it, with its own camera."""

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


PredictPictures = Callable[[list[LabelledPicture]], Iterator[PhotoPrediction]]


def predicted(
    pictures: Iterable[Picture], predict: PredictPictures, batch: int
) -> Iterator[tuple[Picture, PhotoPrediction]]:
    """Every picture with the network's prediction, `batch` at a time: a data set need not fit into memory."""
    group: list[LabelledPicture] = []
    for picture in pictures:
        group.append(LabelledPicture(picture))
        if len(group) == batch:
            yield from _predicted(group, predict)
            group = []
    yield from _predicted(group, predict)


def _predicted(group: list[LabelledPicture], predict: PredictPictures) -> Iterator[tuple[Picture, PhotoPrediction]]:
    if group:
        yield from zip((shown.picture for shown in group), predict(group), strict=True)


def trimmed(prediction: PhotoPrediction, threshold: float) -> PhotoPrediction:
    """The prediction without the queries below `threshold` and without its depth map: a hundredth of the memory."""
    chosen = prediction.people(threshold)
    kept = {name: prediction.outputs[name][chosen] for name in ("scores", "betas", "rotations", "translation")}
    return PhotoPrediction(prediction.photo, kept, prediction.joints_2d[chosen], prediction.size)


def predicted_people(prediction: PhotoPrediction, body: Body, threshold: float) -> People:
    """The people with a score of at least `threshold`."""
    chosen = prediction.people(threshold)
    parts = (prediction.outputs[name][chosen] for name in ("betas", "rotations", "translation"))
    vertices, joints = _posed(body, *parts)
    return People(prediction.joints_2d[chosen], joints, vertices)


def true_people(picture: Picture, body: Body, size: tuple[int, int]) -> tuple[People, list[Person]]:
    """The people of a picture of (width, height) pixels, and their labels.

    People without a pose of this body (children on the free one) have projected joints alone and can be found or missed.
    People with neither, because they stand beside or behind the camera, are left out.
    """
    if picture.intrinsics is None:
        raise UserError(f"{picture.path} has no camera, expected one to project people")
    kept = [person for person in picture.people if person.pose is not None or np.isfinite(person.joints_2d).all()]
    posed = np.array([person.pose is not None for person in kept], bool)
    poses = [person.pose for person in kept if person.pose is not None]
    joints = np.zeros((len(kept), JOINTS, 3))
    joints[posed] = np.array([pose.joints_3d for pose in poses]).reshape(-1, JOINTS, 3)
    vertices = np.zeros((len(kept), len(body.template), 3), np.float32)
    vertices[posed] = _surfaces(body, poses)
    pixels = np.array([person.joints_2d for person in kept]).reshape(-1, JOINTS, 2)
    pixels[posed] = picture.intrinsics.project_clamped(joints[posed])
    about = np.array([_about(person.about) for person in kept], ABOUT)
    about["distance"] = np.where(posed, joints[:, 0, 2], np.nan)
    for row, points in enumerate(vertices):
        outline = picture.intrinsics.project_clamped(points) if posed[row] else pixels[row]
        about["height"][row] = np.ptp(outline[:, 1]) / max(size)
    return People(pixels, joints, vertices, posed, about), kept


def agora_pictures(
    predictions: Iterable[tuple[Picture, PhotoPrediction]], body: Body, threshold: float
) -> Iterator[tuple[People, AgoraTruth]]:
    """For `measure_agora`."""
    for picture, prediction in predictions:
        people, labels = true_people(picture, body, prediction.size)
        truth = AgoraTruth(
            people,
            occlusion=np.array(
                [UNKNOWN if label.about.occlusion is None else label.about.occlusion for label in labels]
            ),
            kid=np.array([bool(label.about.kid) for label in labels], bool),
            scored=np.array([label.about.scored for label in labels], bool),
        )
        yield predicted_people(prediction, body, threshold), truth


def threedpw_pictures(
    predictions: Iterable[tuple[Picture, PhotoPrediction]], body: Body, threshold: float
) -> Iterator[tuple[People, People]]:
    """For `measure_3dpw`."""
    for picture, prediction in predictions:
        yield predicted_people(prediction, body, threshold), true_people(picture, body, prediction.size)[0]


def layer_pictures(
    predictions: Iterable[tuple[Picture, PhotoPrediction]], threshold: float
) -> Iterator[tuple[LayerPrediction, LayerTruth]]:
    """For `measure_layers`."""
    for picture, prediction in predictions:
        chosen = prediction.people(threshold)
        people = layered(picture)
        joints = np.array([person.joints_2d[LAYER_JOINTS] for person in people]).reshape(-1, len(LAYER_JOINTS), 2)
        ages, genders = (
            np.array([_number(names, getattr(person.about, kind)) for person in people], int)
            for kind, names in (("age", AGES), ("gender", GENDERS))
        )
        yield (
            LayerPrediction(
                prediction.joints_2d[chosen][:, LAYER_JOINTS], prediction.outputs["translation"][chosen, 2]
            ),
            LayerTruth(joints, np.array([person.layer for person in people], int), ages, genders),
        )


def layered(picture: Picture) -> list[Person]:
    """The people of a picture with one of LAYER_JOINTS at least, in the order of `layer_pictures`."""
    return [person for person in picture.people if np.isfinite(person.joints_2d[LAYER_JOINTS, 0]).any()]


def read_regressor(path: Path) -> np.ndarray:
    """A .npy array of numbers [joints, vertices]. Raises UserError for another file."""
    return _read_array(
        path, "a matrix of joints by vertices", lambda array: array.ndim == 2 and array.dtype.kind == "f"
    )


def read_vertices(path: Path) -> np.ndarray:
    """A .npy list of vertex numbers. Raises UserError for another file."""
    return _read_array(path, "a list of vertex numbers", lambda array: array.ndim == 1 and array.dtype.kind in "iu")


def read_points(path: Path) -> np.ndarray:
    """A .npy array of points [N, 3]. Raises UserError for another file."""
    return _read_array(
        path, "points [N, 3]", lambda array: array.ndim == 2 and array.shape[1] == 3 and array.dtype.kind == "f"
    )


def _read_array(path: Path, what: str, fits: Callable[[np.ndarray], bool]) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"cannot read {path} as a .npy array: {error}") from error
    if not isinstance(array, np.ndarray) or not fits(array):
        got = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "an archive"
        raise UserError(f"expected {what} in {path}, got {got}")
    return array


def _about(about: About) -> tuple[object, ...]:
    """An ABOUT record; distance and height are for the caller to say."""
    occlusion = np.nan if about.occlusion is None else about.occlusion
    kid = "" if about.kid is None else CHILD if about.kid else ADULT
    return (np.nan, np.nan, occlusion, kid, *(getattr(about, name) or "" for name in LABELS))


def _number(names: tuple[str, ...], name: str | None) -> int:
    return names.index(name) if name in names else UNKNOWN


def _surfaces(body: Body, poses: list[Pose]) -> np.ndarray:
    """Vertices [P, V, 3]: those that the data set gives, else those of the pose."""
    betas = np.array([pose.betas for pose in poses], np.float32).reshape(-1, BETAS)
    rotations = np.array([pose.rotations for pose in poses], np.float32).reshape(-1, JOINTS, 3, 3)
    pelvis = np.array([pose.joints_3d[0] for pose in poses], np.float32).reshape(-1, 3)
    vertices = _posed(body, betas, rotations, pelvis)[0]
    for row, pose in enumerate(poses):
        if pose.vertices is not None:
            vertices[row] = pose.vertices
    return vertices


def _posed(
    body: Body, betas: np.ndarray, rotations: np.ndarray, translation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if not len(betas):
        return np.zeros((0, len(body.template), 3), np.float32), np.zeros((0, JOINTS, 3), np.float32)
    return pose_vertices(body, betas, rotations, translation)
