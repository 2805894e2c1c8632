import hashlib
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bodykit.body import load_body
from bodykit.errors import UserError
from bodykit.skinning import pose_joints
from depthhmr.synth.sequence import SEQUENCE_SPLITS, Frame, PeopleSequence, SequenceGenerator, sequence_seeds
from depthhmr.synth.sequence_files import write_sequence
from depthhmr.synth.sequence_gait import Manner, stride, walk
from depthhmr.synth.sequence_noise import NoisyNetwork
from depthhmr.synth.sequence_paths import APART, plan
from depthhmr.synth.splits import SPLITS

SIZE = 64
SEED = 40_000_000


@pytest.fixture(scope="module")
def generator() -> SequenceGenerator:
    return SequenceGenerator(load_body(), SIZE)


@pytest.fixture(scope="module")
def sequence(generator: SequenceGenerator) -> PeopleSequence:
    return generator.sequence(SEED, seconds=4, fps=10)


@pytest.fixture(scope="module")
def frames(sequence: PeopleSequence) -> list[Frame]:
    return list(sequence)


def digest(frame: Frame) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for _, array in sorted(frame.sample.arrays().items()))).hexdigest()


@pytest.mark.slow
def test_a_seed_gives_the_same_bytes_in_another_process_and_order(frames: list[Frame]) -> None:
    program = (
        "import hashlib\n"
        "from bodykit.body import load_body\n"
        "from depthhmr.synth.sequence import SequenceGenerator\n"
        f"sequence = SequenceGenerator(load_body(), {SIZE}).sequence({SEED}, seconds=4, fps=10)\n"
        "for index in (25, 3):\n"
        "    arrays = sorted(sequence[index].sample.arrays().items())\n"
        "    print(hashlib.sha256(b''.join(array.tobytes() for _, array in arrays)).hexdigest())\n"
    )

    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert there == [digest(frames[25]), digest(frames[3])]


def test_what_happens_does_not_depend_on_the_frame_rate(generator: SequenceGenerator, frames: list[Frame]) -> None:
    faster = generator.sequence(SEED, seconds=4, fps=30)

    np.testing.assert_array_equal(faster.truth(frames[7].time_s)[1], frames[7].sample.translation)
    np.testing.assert_array_equal(faster[21].sample.depth, frames[7].sample.depth)


def test_labels_agree_with_each_other_and_with_the_pixels(frames: list[Frame]) -> None:
    seen = 0
    for frame in frames[::4]:
        sample = frame.sample
        joints = pose_joints(load_body(), sample.betas, sample.rotations, sample.translation)
        np.testing.assert_allclose(sample.joints_3d, joints, atol=1e-4)
        assert np.array_equal(sample.depth > 0, sample.person > 0)
        for i in range(sample.people):
            rows, columns = np.nonzero(sample.person == i + 1)
            if not len(rows):
                assert sample.visible[i] < 0.1
                continue
            seen += 1
            x0, y0, x1, y1 = sample.boxes[i]
            assert x0 - 1 <= columns.min() and columns.max() + 1 <= x1 + 1
            assert y0 - 1 <= rows.min() and rows.max() + 1 <= y1 + 1
            if len(rows) > 60:  # what is seen of a body lies within an arm's length of its pelvis
                assert abs(float(np.median(sample.depth[rows, columns])) - sample.translation[i, 2]) < 0.7
    assert seen > 10


def test_a_person_keeps_shape_and_clothes_and_moves_as_people_do(sequence: PeopleSequence) -> None:
    step = 1 / 25
    times = np.arange(1, 3, step)
    places = np.stack([sequence.truth(time)[1] for time in times])
    rotations = np.stack([sequence.truth(time)[0] for time in times])

    speed = np.linalg.norm(np.diff(places, axis=0), axis=-1) / step
    bend = np.linalg.norm(np.diff(places, n=2, axis=0), axis=-1) / step**2
    turn = np.linalg.norm(np.diff(rotations, axis=0), axis=(-2, -1)) / np.sqrt(2) / step

    assert speed.max() < 3.5  # m/s
    assert bend.max() < 25  # m/s², of the pelvis; runners have 15
    assert turn.max() < 15  # rad/s, of any joint
    assert speed.mean(axis=0).max() > 0.3


def test_somebody_hides_somebody_and_people_come_and_go(generator: SequenceGenerator) -> None:
    hidden = entered = 0
    for seed in range(SEED, SEED + 3):
        sequence = generator.sequence(seed, seconds=8, fps=3)
        shares = np.stack([frame.sample.visible for frame in sequence])
        inside = np.stack(
            [
                (frame.sample.joints_2d[:, 0] > 0).all(axis=1) & (frame.sample.joints_2d[:, 0] < SIZE).all(axis=1)
                for frame in sequence
            ]
        )
        hidden += int(((shares < 0.5) & inside).any())
        entered += int(((shares[0] == 0) & (shares.max(axis=0) > 0.9)).any())

    assert hidden >= 2
    assert entered >= 2


def test_nobody_walks_through_anybody() -> None:
    for seed in range(12):
        ways = plan(np.random.default_rng(seed), 6, 6.0, 0.58)
        for i, a in enumerate(ways):
            for b in ways[i + 1 :]:
                assert np.linalg.norm(a.place - b.place, axis=1).min() > APART


def test_arms_swing_against_legs_and_a_step_is_as_long_as_the_way() -> None:
    rate, swing = stride(Manner(), np.array([0.0, 1.3]))
    phase = np.linspace(0, 2 * np.pi, 60)

    pose = walk(Manner(), phase, np.full(60, swing[1]))
    joints = pose_joints(
        load_body(),
        np.zeros((60, 10), np.float32),
        rotations_of(pose),
        np.zeros((60, 3), np.float32),
    )

    left_ankle, left_wrist = joints[:, 7, 2], joints[:, 20, 2]
    assert np.corrcoef(left_ankle, left_wrist)[0, 1] < -0.7
    steps_per_s = rate[1] / np.pi
    assert np.ptp(left_ankle - joints[:, 8, 2]) / 2 == pytest.approx(1.3 / steps_per_s, rel=0.25)
    assert (rate[0], swing[0]) == (0, 0)


def rotations_of(pose: np.ndarray) -> np.ndarray:
    from bodykit.rotations import axis_angle_to_matrix

    return axis_angle_to_matrix(pose)


def test_splits_of_sequences_meet_neither_each_other_nor_those_of_pictures() -> None:
    ranges = sorted((first, first + count) for first, count in [*SPLITS.values(), *SEQUENCE_SPLITS.values()])

    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ranges))
    with pytest.raises(UserError, match="asked for 201; expected 1 to 200"):
        sequence_seeds("val", 201)
    with pytest.raises(UserError, match="no split 'train' of sequences; expected one of val, test"):
        sequence_seeds("train", 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fps": 0}, "0 per second"),
        ({"seconds": -1}, "got -1 s"),
        ({"seconds": 600, "fps": 240}, "1 to 20000 frames"),
        ({"people": 9}, "1 to 8 people, got 9"),
    ],
)
def test_an_impossible_sequence_is_refused(generator: SequenceGenerator, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generator.sequence(SEED, **arguments)


def test_a_sequence_can_be_written_and_read_back(generator: SequenceGenerator, tmp_path: Path) -> None:
    sequence = generator.sequence(SEED + 1, seconds=0.5, fps=8)

    assert write_sequence(sequence, tmp_path / "walk") == 4

    lines = [json.loads(line) for line in (tmp_path / "walk" / "annotations.jsonl").read_text().splitlines()]
    frame = sequence[3]
    with Image.open(tmp_path / "walk" / lines[3]["image"]) as picture:
        assert picture.format == "JPEG"
        assert picture.size == (frame.rgb.shape[1], frame.rgb.shape[0])
    assert [line["time_s"] for line in lines] == [0, 0.125, 0.25, 0.375]
    assert [person["id"] for person in lines[0]["people"]] == list(range(1, sequence.people + 1))
    np.testing.assert_allclose(lines[3]["people"][0]["translation"], frame.sample.translation[0], atol=1e-4)
    fx, fy, cx, cy = lines[3]["intrinsics"]
    x, y, z = lines[3]["people"][0]["joints_3d"][0]
    np.testing.assert_allclose(lines[3]["people"][0]["joints_2d"][0], (fx * x / z + cx, fy * y / z + cy), atol=0.1)
    with pytest.raises(UserError, match="expected a folder without a sequence"):
        write_sequence(sequence, tmp_path / "walk")


def test_the_noisy_network_errs_as_told_and_always_alike(frames: list[Frame]) -> None:
    def reports() -> list[dict[str, np.ndarray]]:
        network = NoisyNetwork(5, frames[0].sample.people)
        return [network.look(frame.sample, frame.time_s) for frame in frames]

    first, second = reports(), reports()

    assert all(np.array_equal(a[name], b[name]) for a, b in zip(first, second, strict=True) for name in a)
    told = sum(len(one["scores"]) for one in first)
    visible = sum(int((frame.sample.visible > 0.9).sum()) for frame in frames)
    assert 0.8 * visible < told < 1.6 * visible
    for one in first:
        product = one["rotations"] @ np.swapaxes(one["rotations"], -1, -2)
        np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-4)
