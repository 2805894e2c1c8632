"""Sequences of pictures from one fixed camera, with full ground truth of the people.

A sequence is a pure function of its seed, as a picture is, and what happens in it does not depend on the frame rate.
Person i of every frame is the same person: the index is the identity.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from bodykit.body import Body
from bodykit.camera import Intrinsics
from bodykit.errors import UserError
from bodykit.letterbox import PAD_GREY
from bodykit.raster import vertex_normals
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_joints, pose_vertices
from depthhmr.synth.background import sample_place
from depthhmr.synth.camera import Lenses, tilt
from depthhmr.synth.clothing import wear
from depthhmr.synth.crowd import FLESH, UPSIDE, Crowd
from depthhmr.synth.degrade import GRAIN, degrade
from depthhmr.synth.lighting import sample_light
from depthhmr.synth.look import LOOK, sample_look
from depthhmr.synth.props import Props, Workshop, furnish
from depthhmr.synth.scene import SAMPLES, Generator, Sample, View
from depthhmr.synth.sequence_gait import Manner, Standing, sample_manner, sample_standing, stride, walk
from depthhmr.synth.sequence_paths import GRID_HZ, Way, plan, smooth
from depthhmr.synth.standing import lowest

STREAM = 0x5EC  # a sequence and a picture of the same seed are independent
SHAPES = (4 / 3, 16 / 9, 1.0, 3 / 4)  # width / height of the pictures
MAX_PEOPLE = 8
MAX_FRAMES = 20_000

SEQUENCE_SPLITS: dict[str, tuple[int, int]] = {"val": (40_000_000, 200), "test": (50_000_000, 200)}  # first seed, count


def sequence_seeds(split: str, count: int) -> range:
    """The seeds of the first `count` sequences of a split; UserError if they do not exist."""
    if split not in SEQUENCE_SPLITS:
        raise UserError(f"there is no split {split!r} of sequences; expected one of {', '.join(SEQUENCE_SPLITS)}")
    first, total = SEQUENCE_SPLITS[split]
    if not 1 <= count <= total:
        raise UserError(f"split {split!r} has {total} sequences, asked for {count}; expected 1 to {total}")
    return range(first, first + count)


class Frame(NamedTuple):
    """One picture of a sequence. `sample` holds all people of the sequence, also those outside the picture."""

    time_s: float
    sample: Sample
    region: tuple[int, int, int, int]  # left, top, right, bottom of the picture proper inside the sample's square

    @property
    def rgb(self) -> np.ndarray:
        """The picture without the bars that make it square, uint8 [H, W, 3]."""
        left, top, right, bottom = self.region
        return self.sample.rgb[top:bottom, left:right]

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera in pixels of `rgb`."""
        fx, fy, cx, cy = self.sample.intrinsics.tolist()
        return Intrinsics(fx, fy, cx - self.region[0], cy - self.region[1])


@dataclass(frozen=True, eq=False)
class _Actor:
    """One person of a sequence and their motion."""

    way: Way
    phase: np.ndarray  # [G] of the walk cycle
    swing: np.ndarray  # [G] radians of the hips
    standing: Standing | None
    manner: Manner
    betas: np.ndarray  # [10]
    clearance: np.ndarray  # [G] height of the pelvis above the floor, metres


@dataclass(frozen=True, eq=False)
class Stage:
    """What is constant over a sequence."""

    view: View
    light: np.ndarray
    toward: np.ndarray
    place: np.ndarray
    props: Props
    seed: int  # of the camera's degradations


class SequenceGenerator(Generator):
    """Makes sequences of pictures of `size` x `size` pixels (bars included, where they are not square).

    Their places are drawn, as a photograph would have to move with the camera.
    """

    def __init__(self, body: Body, size: int = 192) -> None:
        super().__init__(body, size)

    def sequence(
        self, seed: int, *, seconds: float = 8.0, fps: float = 25.0, people: int | None = None
    ) -> "PeopleSequence":
        """The sequence of a seed. `people` is their wanted number (fewer if no more fit in); None draws 2 to 5.

        Raises ValueError for an invalid length or rate.
        """
        if not (0 < seconds <= 600 and 0 < fps <= 240 and 1 <= seconds * fps <= MAX_FRAMES):
            raise ValueError(
                f"expected up to 600 seconds, a rate up to 240 frames per second and 1 to {MAX_FRAMES} frames, "
                f"got {seconds} s at {fps} per second"
            )
        if people is not None and not 1 <= people <= MAX_PEOPLE:
            raise ValueError(f"expected 1 to {MAX_PEOPLE} people, got {people}")
        return PeopleSequence(self, seed, seconds, fps, people)

    def shoot(
        self, stage: Stage, looks: np.ndarray, betas: np.ndarray, rotations: np.ndarray, translation: np.ndarray,
        index: int,
    ) -> Sample:  # fmt: skip
        """One frame of people on a stage with these looks, shapes, poses and places; `index` only varies the grain."""
        wardrobe, size, view = self.wardrobe, self.size, stage.view
        vertices, joints = pose_vertices(wardrobe.body, betas, rotations, translation)
        normals = np.empty_like(vertices)
        for i in range(len(vertices)):
            normals[i] = vertex_normals(vertices[i], wardrobe.faces)
            wear(vertices[i], normals[i], wardrobe.rest, self.part_of_vertex, looks[i], self.tables)
        # every frame draws the same numbers, as shadows, lens and processing are those of one camera
        same = np.random.Generator(np.random.PCG64(stage.seed))
        shadow = self._shadow(same, vertices, stage.props, view, stage.toward, float(stage.light["sun"].mean()))
        rgb, depth, person, covered, _ = self._render(
            vertices, normals, stage.props, view, looks, stage.place, stage.light, shadow
        )
        inside = (slice(view.box[1], view.box[3]), slice(view.box[0], view.box[2]))
        picture = np.full((size, size, 3), PAD_GREY, np.uint8)
        # except for the grain of the sensor, which differs in every frame
        moved = np.random.Generator(np.random.PCG64([stage.seed, index])).integers(GRAIN, size=2)
        picture[inside] = degrade(same, rgb[inside], np.roll(self.grain, moved, axis=(0, 1)), size)
        camera = Intrinsics(*(float(value) for value in view.lens))
        boxes, areas = self._silhouettes(vertices, looks, camera)
        return Sample(
            rgb=picture,
            depth=depth,
            person=person,
            intrinsics=view.lens,
            rotations=rotations,
            betas=betas,
            translation=translation,
            joints_3d=joints,
            joints_2d=camera.project_clamped(joints).astype(np.float32),
            boxes=boxes,
            visible=(covered / SAMPLES**2 / np.maximum(areas, 1e-6)).clip(0, 1).astype(np.float32),
            height_px=boxes[:, 3] - boxes[:, 1],
        )


class PeopleSequence:
    """One sequence. Frames are rendered on access, in any order; `truth` needs no rendering."""

    def __init__(self, generator: SequenceGenerator, seed: int, seconds: float, fps: float, people: int | None) -> None:
        rng = np.random.Generator(np.random.PCG64([STREAM, seed]))
        self._generator = generator
        self.seed, self.fps = seed, fps
        self.times_s = np.arange(max(1, round(seconds * fps))) / fps
        lenses, height, pitch, roll = _camera(rng, generator.size)
        self._lenses = lenses
        half = float(0.5 * (lenses.content[0, 2] - lenses.content[0, 0]) / lenses.focal[0])
        ways = plan(rng, int(rng.integers(2, 6)) if people is None else people, seconds, half)
        ways = ways if people is None else ways[:people]
        self._actors = [self._actor(rng, way) for way in ways]
        self._looks = np.array([sample_look(rng) for _ in ways], LOOK)
        tilt_ = tilt(np.array([pitch]), np.array([roll]))[0]
        light, toward = sample_light(rng, tilt_)
        farthest = max(float(way.place[:, 1].max()) for way in ways)
        place = sample_place(rng, farthest)
        view = View(tilt_, np.float32(height), lenses.intrinsics()[0], lenses.content[0])
        self._stage = Stage(view, light, toward, place, self._props(rng, height), int(rng.integers(2**63)))
        self.betas = np.stack([actor.betas for actor in self._actors])  # [P, 10]

    @property
    def people(self) -> int:
        return len(self._actors)

    def __len__(self) -> int:
        return len(self.times_s)

    def __iter__(self) -> Iterator[Frame]:
        return (self[i] for i in range(len(self)))

    def truth(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Rotations [P, 24, 3, 3] and translation [P, 3] at any time, camera frame."""
        rotations, pelvis = self._level(time_s)
        rotations[:, 0] = self._stage.view.tilt @ rotations[:, 0]
        return rotations, (pelvis @ self._stage.view.tilt.T).astype(np.float32)

    def __getitem__(self, index: int) -> Frame:
        """Renders a frame."""
        if not 0 <= index < len(self):
            raise IndexError(f"expected a frame from 0 to {len(self) - 1}, got {index}")
        time_s = float(self.times_s[index])
        rotations, translation = self.truth(time_s)
        sample = self._generator.shoot(self._stage, self._looks, self.betas, rotations, translation, index)
        left, top, right, bottom = (int(value) for value in self._stage.view.box)
        return Frame(time_s, sample, (left, top, right, bottom))

    def _actor(self, rng: np.random.Generator, way: Way) -> _Actor:
        manner = sample_manner(rng)
        betas = rng.standard_normal(10, dtype=np.float32).clip(-2.5, 2.5)
        rate, swing = stride(manner, smooth(way.speed, 0.15))
        phase = rng.uniform(0, 2 * np.pi) + np.concatenate([[0], np.cumsum(0.5 * (rate[1:] + rate[:-1]))]) / GRID_HZ
        actor = _Actor(
            way, phase, swing, sample_standing(rng) if way.standing else None, manner, betas, np.zeros(len(phase))
        )
        return replace(actor, clearance=self._clearance(actor))

    def _clearance(self, actor: _Actor) -> np.ndarray:
        """Height of the pelvis [G] that puts the lowest joint on the floor, without a jerk at each heel."""
        body = self._generator.wardrobe.body
        every = 4
        times = np.arange(0, len(actor.phase), every) / GRID_HZ
        rotations = _rotations(actor, times)
        betas = np.tile(actor.betas, (len(times), 1))
        joints = pose_joints(body, betas, rotations, np.zeros((len(times), 3), np.float32))
        low = (joints[..., 1] + FLESH).max(axis=1)
        # joints give the soles to a centimetre or two; a few whole bodies give the rest
        few = np.linspace(0, len(times) - 1, 5).astype(int)
        vertices = pose_vertices(body, betas[few], rotations[few], np.zeros((len(few), 3), np.float32))[0]
        bare = self._generator.wardrobe.bare_vertices
        soles = np.array([-lowest(one[:bare], np.array([0, -1, 0], np.float32)) for one in vertices])
        low = low + float(np.median(soles - low[few]))
        return smooth(np.interp(np.arange(len(actor.phase)) / GRID_HZ, times, low), 0.06)

    def _level(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Rotations [P, 24, 3, 3] and pelvises [P, 3] in the level frame."""
        at = np.array([time_s])
        rotations = np.concatenate([_rotations(actor, at) for actor in self._actors])
        pelvis = np.zeros((self.people, 3))
        for i, actor in enumerate(self._actors):
            grid = np.arange(len(actor.phase)) / GRID_HZ
            x, z = (np.interp(time_s, grid, actor.way.place[:, axis]) for axis in range(2))
            pelvis[i] = x, float(self._stage.view.ground) - np.interp(time_s, grid, actor.clearance), z
        return rotations, pelvis

    def _props(self, rng: np.random.Generator, height: float) -> Props:
        """Props that are in nobody's way; none after a few bad draws."""
        trodden = np.concatenate([actor.way.place[::20] for actor in self._actors])
        pelvis = np.stack([trodden[:, 0], np.zeros(len(trodden)), trodden[:, 1]], axis=1)
        none = np.zeros(0)
        crowd = Crowd(
            owner=none, kind=none, pose=none, yaw=none, rotations=none, betas=none, pelvis=pelvis, lift=none,
            lenses=self._lenses, tilt=none, height=np.array([height], np.float32),
        )  # fmt: skip
        for _ in range(12):
            props = furnish(rng, crowd, [], self._lenses)
            floor = props.vertices[props.vertices[:, 1] > height - 2.2][:, (0, 2)]
            gap = np.linalg.norm(floor[:, None] - trodden[None], axis=2)
            if not gap.size or gap.min() > 0.9:
                return props
        return Workshop(rng).build()


def _camera(rng: np.random.Generator, size: int) -> tuple[Lenses, float, float, float]:
    """A fixed camera: lens, height above the floor in metres, pitch and roll in radians."""
    focal = size / (2 * np.tan(np.radians(np.clip(rng.normal(60, 5), 50, 75)) / 2))
    shape = SHAPES[rng.integers(len(SHAPES))]
    width, height = round(size * min(1, shape)), round(size * min(1, 1 / shape))
    left, top = (size - width) // 2, (size - height) // 2
    content = np.array([[left, top, left + width, top + height]])
    lens = Lenses(np.array([focal]), np.full((1, 2), size / 2), content, size)
    above = float(rng.uniform(1.1, 2.4))
    pitch = np.arctan2(above - 0.9, 4.0) + rng.normal(0, 0.02)  # aims at hip height in the middle of the floor
    return lens, above, float(pitch), float(rng.normal(0, 0.01))


def _rotations(actor: _Actor, times: np.ndarray) -> np.ndarray:
    """Joint rotations [T, 24, 3, 3], the first into the level frame."""
    grid = np.arange(len(actor.phase)) / GRID_HZ
    phase, swing, heading = (np.interp(times, grid, values) for values in (actor.phase, actor.swing, actor.way.heading))
    pose = actor.standing.at(times) if actor.standing else walk(actor.manner, phase, swing)
    rotations = axis_angle_to_matrix(pose.astype(np.float32))
    yaw = np.zeros((len(times), 3), np.float32)
    yaw[:, 1] = heading
    rotations[:, 0] = axis_angle_to_matrix(yaw) * UPSIDE[:, None] @ rotations[:, 0]
    return rotations
