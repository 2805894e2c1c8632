"""Runs sequences through a network (or its simulation), the tracker and the smoother, and scores the results."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from tqdm import tqdm

from bodykit.body import Body
from bodykit.camera import Intrinsics
from bodykit.letterbox import Letterbox
from bodykit.manifest import Manifest
from depthhmr.evaluation import metrics, tracking_scores
from depthhmr.evaluation.tracking_scores import IdentityScores, MotionScores, ReportedFrame, TrueFrame
from depthhmr.synth.sequence import Frame, SequenceGenerator
from depthhmr.synth.sequence_noise import NoisyNetwork
from depthhmr_cli.evaluate import Network, check_body
from service.following.one_euro import OneEuro
from service.following.smoothing import Smoother, SmoothingOptions
from service.following.tracking import Tracker, TrackingOptions
from service.people import select_people
from service.results import Person

if TYPE_CHECKING:
    from service.settings import Settings

BATCH = 8
BOX_IOU = 0.3  # of the baseline trackers: boxes that overlap less are two people
MAX_PEOPLE = 16
STRAIGHT_MS = 1000.0


@dataclass(frozen=True, eq=False)
class Tape:
    """One sequence without its pixels: the truth, the reports, and their matching."""

    true: list[TrueFrame]
    people: list[tuple[Person, ...]]
    pairs: list[np.ndarray]
    camera: Intrinsics


@dataclass(frozen=True)
class MotionRow:
    """One way of smoothing."""

    name: str
    scores: MotionScores
    lag_root_ms: float  # behind the truth, sideways, median over people who walk
    lag_pose_ms: float  # the same of the joints, pelvis at the origin


@dataclass(frozen=True)
class Report:
    """All scores of one source."""

    source: str
    sequences: int
    frames: int
    identity: dict[str, IdentityScores]
    idf1: dict[str, float]
    motion: list[MotionRow]
    tracker_ms: float  # per frame
    smoother_ms: float


class AnyTracker(Protocol):
    def update(self, people: Sequence[Person], time_s: float) -> tuple[int | None, ...]: ...


class BoxTracker:
    """The simplest tracker: boxes of successive frames with the largest overlap are one person."""

    def __init__(self, memory_s: float) -> None:
        self._memory_s = memory_s
        self._boxes: dict[int, tuple[np.ndarray, float]] = {}
        self._time_s = 0.0
        self._last_id = 0

    def update(self, people: Sequence[Person], time_s: float) -> tuple[int | None, ...]:
        oldest = min(self._time_s, time_s - self._memory_s)
        self._boxes = {track: known for track, known in self._boxes.items() if known[1] >= oldest}
        self._time_s = time_s
        ids: list[int | None] = [None] * len(people)
        tracks = list(self._boxes)
        if tracks and people:
            overlap = metrics.box_iou(
                np.stack([person.box for person in people]), np.stack([self._boxes[track][0] for track in tracks])
            )
            while overlap.max() >= BOX_IOU:
                row, column = np.unravel_index(overlap.argmax(), overlap.shape)
                ids[int(row)] = tracks[column]
                overlap[row], overlap[:, column] = -1, -1
        for index, person in enumerate(people):
            track = ids[index]
            if track is None:
                self._last_id += 1
                track = ids[index] = self._last_id
            self._boxes[track] = (person.box, time_s)
        return tuple(ids)


DEFAULTS = TrackingOptions()
TRACKERS: dict[str, Callable[[], AnyTracker]] = {
    "boxes, frame to frame": lambda: BoxTracker(0.0),
    f"boxes, {DEFAULTS.coast_s:g} s of memory": lambda: BoxTracker(DEFAULTS.coast_s),
    "ours, place alone": lambda: Tracker(replace(DEFAULTS, pose_m=1e6, shape=1e6)),
    "ours, ids at once": lambda: Tracker(replace(DEFAULTS, confirm_hits=1)),
    "ours": lambda: Tracker(),
}


def steady(cutoff_hz: float) -> SmoothingOptions:
    """A plain low-pass filter with one cut-off frequency, for comparison."""
    plain = OneEuro(cutoff_hz, 0.0)
    return SmoothingOptions(sideways=plain, depth=plain, orientation=plain, joints=plain)


SMOOTHERS: dict[str, SmoothingOptions | None] = {
    "as reported": None,
    "low-pass filter, 2 Hz": steady(2.0),
    "smoothed": SmoothingOptions(),
}


def record(
    body: Body, settings: "Settings", seeds: Sequence[int], *, seconds: float, fps: float, network: bool
) -> dict[str, list[Tape]]:
    """Renders sequences and reports their people by the network and by its simulation."""
    manifest = Manifest.read(settings.model_dir)
    check_body(manifest, body)
    generator = SequenceGenerator(body, manifest.input_size)
    tapes: dict[str, list[Tape]] = {"simulated": [], "network": []} if network else {"simulated": []}
    with Network(settings, manifest) as ask:
        for seed in tqdm(seeds, unit="sequence", disable=None):
            sequence = generator.sequence(seed, seconds=seconds, fps=fps)
            imitation = NoisyNetwork(seed, sequence.people)
            said: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in tapes}
            frames: list[Frame] = []
            for first in range(0, len(sequence), BATCH):
                group = [sequence[i] for i in range(first, min(first + BATCH, len(sequence)))]
                said["simulated"] += [imitation.look(frame.sample, frame.time_s) for frame in group]
                if network:
                    images = np.stack([frame.sample.rgb for frame in group])
                    outputs = ask(images, np.stack([frame.sample.intrinsics for frame in group]))
                    said["network"] += [
                        {name: values[i] for name, values in outputs.items()} for i in range(len(group))
                    ]
                frames += [frame._replace(sample=replace(frame.sample, rgb=frame.sample.rgb[:0])) for frame in group]
            for name, tensors in said.items():
                tapes[name].append(tape(frames, tensors, body, manifest))
    return tapes


def tape(frames: Sequence[Frame], tensors: Sequence[dict[str, np.ndarray]], body: Body, manifest: Manifest) -> Tape:
    """The reports of a sequence, with the truth."""
    side = manifest.input_size
    camera = Intrinsics(*frames[0].sample.intrinsics.tolist())
    true, people, pairs = [], [], []
    for frame, raw in zip(frames, tensors, strict=True):
        sample = frame.sample
        counts = (sample.visible >= tracking_scores.MIN_VISIBLE) & (sample.translation[:, 2] > 0)
        counts &= sample.height_px >= tracking_scores.MIN_HEIGHT * side
        true.append(TrueFrame(frame.time_s, sample.joints_3d, sample.joints_2d, counts))
        people.append(
            select_people(
                raw, body=body, camera=camera, box=Letterbox(side, side, side), threshold=manifest.threshold,
                max_people=MAX_PEOPLE,
            )
        )  # fmt: skip
        pairs.append(tracking_scores.pair(said_frame(people[-1]), true[-1]))
    return Tape(true, people, pairs, camera)


def said_frame(people: Sequence[Person], ids: tuple[int | None, ...] = ()) -> ReportedFrame:
    if not people:
        return ReportedFrame(np.zeros((0, 24, 3)), np.zeros((0, 24, 2)))
    return ReportedFrame(
        np.stack([person.joints_3d for person in people]), np.stack([person.joints_2d for person in people]), ids
    )


def score(source: str, tapes: Sequence[Tape], body: Body) -> Report:
    """Every tracker and every smoother on the same reports."""
    identities = {}
    seconds = {"tracker": 0.0, "smoother": 0.0}
    ids: list[list[tuple[int | None, ...]]] = []
    for name, make in TRACKERS.items():
        ids = []  # the smoother follows the last tracker, the service's
        total = IdentityScores()
        for one in tapes:
            tracker = make()
            begin = time.perf_counter()
            ids.append(
                [tracker.update(people, frame.time_s) for people, frame in zip(one.people, one.true, strict=True)]
            )
            if name == "ours":
                seconds["tracker"] += time.perf_counter() - begin
            said = [said_frame(people, given) for people, given in zip(one.people, ids[-1], strict=True)]
            total += tracking_scores.identity(one.pairs, said, one.true)
        identities[name] = total
    rows = []
    for name, options in SMOOTHERS.items():
        runs = []
        for one, given in zip(tapes, ids, strict=True):
            begin = time.perf_counter()
            people = smooth(one, given, body, options)
            if name == "smoothed":
                seconds["smoother"] += time.perf_counter() - begin
            runs.append((one.pairs, [said_frame(frame) for frame in people], one.true))
        rows.append(MotionRow(name, tracking_scores.motion(runs), *late(runs)))
    frames = sum(len(one.true) for one in tapes)
    return Report(
        source, len(tapes), frames, identities, {name: total.idf1 for name, total in identities.items()}, rows,
        1e3 * seconds["tracker"] / frames, 1e3 * seconds["smoother"] / frames,
    )  # fmt: skip


def smooth(
    one: Tape, ids: Sequence[tuple[int | None, ...]], body: Body, options: SmoothingOptions | None
) -> Sequence[tuple[Person, ...]]:
    """The people of a sequence, smoothed; None leaves them unchanged."""
    if options is None:
        return one.people
    smoother = Smoother(body, options)
    return [
        smoother.update(people, given, frame.time_s, camera=one.camera)
        for people, given, frame in zip(one.people, ids, one.true, strict=True)
    ]


def late(runs: Sequence[tuple[list[np.ndarray], list[ReportedFrame], list[TrueFrame]]]) -> tuple[float, float]:
    """Median lags in milliseconds behind the truth, of the pelvis sideways and of the pose, over people in motion.

    Measured over unbroken stretches of at least two seconds in which a person moves at least a metre.
    """
    roots, poses = [], []
    for pairs, said, true in runs:
        step = true[1].time_s - true[0].time_s
        for person in range(len(true[0].counts)):
            found = [t for t in range(len(true)) if pairs[t][person] >= 0 and true[t].counts[person]]
            for stretch in np.split(np.array(found, int), np.flatnonzero(np.diff(found) > 1) + 1):
                if len(stretch) * step < 2.0:
                    continue
                real = np.stack([true[t].joints_3d[person] for t in stretch])
                mine = np.stack([said[t].joints_3d[pairs[t][person]] for t in stretch])
                if np.ptp(real[:, 0], axis=0).max() < 1.0:
                    continue
                sideways = [one[:, 0, :1] / one[:, 0, 2:] for one in (mine, real)]
                limbs = [(one - one[:, :1]).reshape(len(one), -1) for one in (mine, real)]
                roots.append(tracking_scores.lag_ms(sideways[0], sideways[1], step))
                # the mean position of a limb is the network's error, not a delay
                limbs = [one - one.mean(axis=0) for one in limbs]
                poses.append(tracking_scores.lag_ms(limbs[0], limbs[1], step))
    return (float(np.nanmedian(roots)), float(np.nanmedian(poses))) if roots else (float("nan"), float("nan"))


def lags(body: Body, fps: float) -> dict[str, dict[str, float]]:
    """Lag in milliseconds behind steady motion without noise, at several speeds, after two seconds."""
    result: dict[str, dict[str, float]] = {"sideways, m/s": {}, "depth, m/s": {}, "joint, rad/s": {}, "body, rad/s": {}}
    for speed in (0.2, 0.5, 1.0, 2.0):
        result["sideways, m/s"][f"{speed:g}"] = steady_lag(body, fps, np.array([speed, 0, 0]), 0.0, 1)
        result["depth, m/s"][f"{speed:g}"] = steady_lag(body, fps, np.array([0, 0, speed]), 0.0, 1)
    for speed in (0.5, 1.0, 3.0, 6.0):
        result["joint, rad/s"][f"{speed:g}"] = steady_lag(body, fps, np.zeros(3), speed, 18)
        result["body, rad/s"][f"{speed:g}"] = steady_lag(body, fps, np.zeros(3), speed, 0)
    return result


def steady_lag(body: Body, fps: float, velocity: np.ndarray, turn: float, joint: int) -> float:
    """Lag behind a person who moves with `velocity` from 4 m away, or turns a joint by `turn` radians per second."""
    from bodykit.rotations import axis_angle_to_matrix, matrix_to_axis_angle

    smoother, camera = Smoother(body), Intrinsics.from_fov(640, 480)
    still = np.tile(np.eye(3, dtype=np.float32), (24, 1, 1))
    nothing = np.zeros((24, 3), np.float32)
    lag = 0.0
    for frame in range(round(2 * fps)):
        time_s = frame / fps
        rotations = still.copy()
        rotations[joint] = axis_angle_to_matrix(np.array([0, turn * time_s, 0], np.float32))
        place = (np.array([-0.5 * velocity[0], 0, 4.0]) + velocity * time_s).astype(np.float32)
        person = Person(
            0, 1.0, np.zeros(4, np.float32), place, rotations, nothing, np.zeros(10, np.float32), nothing,
            np.zeros((24, 2), np.float32), 1.7,
        )  # fmt: skip
        (said,) = smoother.update([person], [1], time_s, camera=camera)
        if turn:
            behind = matrix_to_axis_angle(said.rotations[joint].T @ rotations[joint])
            lag = STRAIGHT_MS * float(np.linalg.norm(behind)) / turn
        else:
            along = 2 if velocity[2] else 0
            lag = STRAIGHT_MS * float(place[along] - said.translation[along]) / float(np.linalg.norm(velocity))
    return lag


def table(report: Report) -> str:
    """The scores of one source as lines of text."""
    first = next(iter(report.identity.values()))
    lines = [
        f"{report.source}: {report.sequences} sequences, {report.frames} frames, {first.people} people, "
        f"{first.truths} sights of them that count",
        "",
        "  tracker                       switches   IDF1   MOTA  broken   ids  ghosts  named",
    ]
    lines += [
        f"  {name:<30}{s.switches:8d}{s.idf1:7.3f}{s.mota:7.3f}{s.fragments:8d}{s.tracks:6d}{s.ghosts:8d}"
        f"{s.found / max(s.truths, 1):7.3f}"
        for name, s in report.identity.items()
    ]
    lines += [
        "",
        "  people                        root   of it  MPJPE  pixels    jitter of root  depth   pose    lag of root  pose",
        "                                   m   depth     mm                    m/s²   m/s²   m/s²             ms    ms",
    ]
    lines += [
        f"  {row.name:<28}{row.scores.root_m:6.3f}{row.scores.root_depth_m:8.3f}{row.scores.mpjpe_mm:7.1f}"
        f"{row.scores.pixels:8.2f}{row.scores.root_jitter:18.2f}{row.scores.depth_jitter:7.2f}"
        f"{row.scores.pose_jitter:7.2f}{row.lag_root_ms:15.0f}{row.lag_pose_ms:6.0f}"
        for row in report.motion
    ]
    lines += ["", f"  per frame: tracker {report.tracker_ms:.2f} ms, smoother {report.smoother_ms:.2f} ms"]
    return "\n".join(lines)


def lag_table(lags: dict[str, dict[str, float]], fps: float) -> str:
    lines = [f"lag of steady motion without noise, {fps:g} frames per second, ms"]
    lines += [
        f"  {name:<16}" + "".join(f"{speed:>6}: {value:4.0f}" for speed, value in row.items())
        for name, row in lags.items()
    ]
    return "\n".join(lines)
