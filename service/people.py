"""Converts the raw tensors of one image to people. Pure numpy; knows nothing of engines, files or protocols."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bodykit.body import Body
from bodykit.camera import Intrinsics
from bodykit.letterbox import Letterbox
from bodykit.rotations import matrix_to_axis_angle
from bodykit.skinning import pose_joints, pose_vertices
from service.errors import EngineBadOutput
from service.results import DepthMap, Person

SPATIAL = ("rotations", "betas", "translation", "boxes")


def select_people(
    tensors: Mapping[str, np.ndarray],
    *,
    body: Body,
    camera: Intrinsics,
    box: Letterbox,
    threshold: float,
    max_people: int,
) -> tuple[Person, ...]:
    """People with score >= threshold, near to far. If there are more than `max_people`, the highest scores are kept.

    `tensors` hold one image, without batch axis; `camera` is in pixels of the upright image.
    Raises EngineBadOutput when a selected person is not finite or lies behind the camera.
    """
    scores = tensors["scores"]  # [K]
    if not np.isfinite(scores).all():
        raise EngineBadOutput("the engine's scores are not finite")
    chosen = np.flatnonzero(scores >= threshold)
    chosen = chosen[np.argsort(-scores[chosen], kind="stable")][:max_people]
    if not len(chosen):
        return ()
    chosen = chosen[np.argsort(tensors["translation"][chosen, 2], kind="stable")]
    rotations, betas, translation, boxes = (tensors[name][chosen] for name in SPATIAL)
    for name, values in zip(SPATIAL, (rotations, betas, translation, boxes), strict=True):
        if not np.isfinite(values).all():
            raise EngineBadOutput(f"the engine's {name} are not finite")
    if translation[0, 2] <= 0:
        raise EngineBadOutput("the engine placed a person behind the camera")
    posed = posed_fields(body, camera, rotations=rotations, betas=betas, translation=translation)
    boxes = box.to_image(boxes.reshape(-1, 2, 2)).reshape(-1, 4)
    return tuple(
        Person(id=i, score=float(scores[query]), box=boxes[i], **fields)
        for i, (query, fields) in enumerate(zip(chosen, posed, strict=True))
    )


def posed_fields(
    body: Body, camera: Intrinsics, *, rotations: np.ndarray, betas: np.ndarray, translation: np.ndarray
) -> list[dict[str, Any]]:
    """The fields of `Person` given by parameters [P, ...]: the parameters, joints, their pixels, and stature."""
    joints = pose_joints(body, betas, rotations, translation)
    joints_2d = camera.project_clamped(joints)
    axis_angle = matrix_to_axis_angle(rotations)
    heights = statures(body, betas)
    return [
        {
            "translation": translation[i],
            "rotations": rotations[i],
            "axis_angle": axis_angle[i],
            "betas": betas[i],
            "joints_3d": joints[i],
            "joints_2d": joints_2d[i],
            "height_m": float(heights[i]),
        }
        for i in range(len(betas))
    ]


def statures(body: Body, betas: np.ndarray) -> np.ndarray:
    """Height in metres [P] of bodies with the shapes [P, 10] in the rest pose, where y is up."""
    heights = betas @ body.shapedirs[:, 1].T + body.template[:, 1]  # [P, V]
    return heights.max(axis=1) - heights.min(axis=1)


def depth_map(depth: np.ndarray, box: Letterbox) -> DepthMap:
    """The engine's depth [h, w] of the letterboxed square, with the region of the image plane that it covers."""
    if not np.isfinite(depth).all():
        raise EngineBadOutput("the engine's depth is not finite")
    x0, y0, x1, y1 = box.to_image(np.array([[0.0, 0.0], [box.size, box.size]])).ravel().tolist()
    return DepthMap(depth, (x0, y0, x1, y1))


def posed_vertices(body: Body, people: Sequence[Person]) -> np.ndarray:
    """Vertices [P, V, 3] of people in camera coordinates, metres."""
    if not people:
        return np.empty((0, len(body.template), 3), np.float32)
    betas, rotations, translation = (
        np.stack([getattr(person, name) for person in people]) for name in ("betas", "rotations", "translation")
    )
    return pose_vertices(body, betas, rotations, translation)[0]
