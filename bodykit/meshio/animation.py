"""Binary glTF 2.0 that moves: one skinned mesh and one skeleton per person, and one animation that drives them all.

A person's shape cannot change while the clip runs. The nodes themselves hold each person's first pose and place, for
programs that show no animation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bodykit.body import JOINTS, Body
from bodykit.camera import PhotoCamera
from bodykit.meshio.gltf import CAMERA_TO_GLTF, pack, with_camera
from bodykit.meshio.motion import Motion
from bodykit.meshio.skinned import SkinnedPeople, quaternions

CLIP = "stream"
SEEN, HIDDEN = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)  # scales of the pelvis; glTF has no keyframes for "visible"
# three.js computes the bounding sphere of a skinned mesh once, at the first frame that it draws, and culls by it from then
# on: a mesh with scale 0 there is never drawn. So all have scale 1 at time 0, and those that appear later vanish after this.
HIDDEN_AFTER_S = 0.001


def write(body: Body, motions: Sequence[Motion], times_s: np.ndarray, *, camera: PhotoCamera | None = None) -> bytes:
    """A .glb file. `times_s` [N] are the seconds of the clip's frames, strictly increasing; the clip starts at the first.

    A person is hidden (scale 0) in frames in which it is not seen. No motions give a valid file with an empty node.
    """
    times = np.asarray(times_s, np.float64)
    if np.any(np.diff(times) <= 0) or not np.isfinite(times).all():
        raise ValueError("expected times of frames that increase")
    for motion in motions:
        if motion.frames[0] < 0 or motion.frames[-1] >= len(times):
            raise ValueError(f"motion {motion.name!r}: expected frames 0 to {len(times) - 1}, got {motion.frames[-1]}")
    clip = _Clip(body, (times - times[:1]).astype(np.float32))
    for motion in motions:
        clip.add(motion)
    return clip.file(camera)


class _Clip:
    """People and the keyframes that move them."""

    def __init__(self, body: Body, times: np.ndarray) -> None:
        self._times, self._people = times, SkinnedPeople(body)
        self._buffer = self._people.buffer
        self._channels: list[dict[str, Any]] = []
        self._samplers: list[dict[str, Any]] = []

    def add(self, motion: Motion) -> None:
        """Keyframes: where the pelvis is, how every joint turns, and whether the person is present."""
        turns = quaternions(motion.axis_angle)  # [K, 24, 4]
        pelvis = self._people.add(motion.name, motion.colour, motion.betas, turns[0], motion.translation[0])
        frames = np.asarray(motion.frames)
        when = self._buffer.floats(self._times[frames], "SCALAR", bounds=True)
        place = np.asarray(motion.translation, np.float32) * CAMERA_TO_GLTF
        self._channel(pelvis, "translation", when, self._buffer.floats(place, "VEC3"), "LINEAR")
        for joint in range(JOINTS):
            values = self._buffer.floats(turns[:, joint], "VEC4")
            self._channel(pelvis + joint, "rotation", when, values, "LINEAR")
        changes, there = _changes(frames, self._times)
        steps = self._buffer.floats(changes, "SCALAR", bounds=True)
        scales = self._buffer.floats(np.where(there[:, None], SEEN, HIDDEN), "VEC3")
        self._channel(pelvis, "scale", steps, scales, "STEP")

    def file(self, camera: PhotoCamera | None) -> bytes:
        document = with_camera(self._people.document(), camera)
        if self._channels:
            document["animations"] = [{"name": CLIP, "channels": self._channels, "samplers": self._samplers}]
        return pack(document, self._buffer)

    def _channel(self, node: int, path: str, times: int, values: int, interpolation: str) -> None:
        self._samplers.append({"input": times, "output": values, "interpolation": interpolation})
        self._channels.append({"sampler": len(self._samplers) - 1, "target": {"node": node, "path": path}})


def _changes(frames: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The seconds at which a person appears or vanishes, with 0; and whether they are present from then on."""
    seen = np.zeros(len(times), bool)
    seen[frames] = True
    changes = np.concatenate([[0], 1 + np.flatnonzero(seen[1:] != seen[:-1])])
    when, there = times[changes], seen[changes]
    if not there[0]:
        hidden = np.float32(min(HIDDEN_AFTER_S, when[1] / 2))  # before the person appears
        when, there = np.insert(when, 1, hidden), np.insert(there, 0, True)
    return when, there
