"""An animated GLB moves as our own skinning does: checked by a reader of our own, three.js, trimesh and Khronos' validator."""

import io
import json
import struct

import numpy as np
import pytest

from bodykit.body import JOINT_NAMES, PARENTS
from bodykit.meshio import animation
from bodykit.meshio.motion import Motion
from bodykit.rotations import axis_angle_to_matrix
from bodykit.skinning import pose_joints, pose_vertices

TO_GLTF = np.array([1, -1, -1])
DTYPES = {5121: "<u1", 5123: "<u2", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Clip:
    """Reads an animated .glb again and poses it as the glTF specification (3.7.3, skins) tells a renderer to."""

    def __init__(self, data: bytes) -> None:
        size, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON"
        self.document = json.loads(data[20 : 20 + size])
        self.binary = data[28 + size :]

    def accessor(self, index: int) -> np.ndarray:
        accessor = self.document["accessors"][index]
        view = self.document["bufferViews"][accessor["bufferView"]]
        width = WIDTHS[accessor["type"]]
        values = np.frombuffer(
            self.binary, DTYPES[accessor["componentType"]], accessor["count"] * width, view["byteOffset"]
        )
        return values.reshape(-1, width)

    def channel(self, node: int, path: str) -> tuple[np.ndarray, np.ndarray, str]:
        """Times, values and interpolation."""
        animation_ = self.document["animations"][0]
        (found,) = [x for x in animation_["channels"] if x["target"] == {"node": node, "path": path}]
        sampler = animation_["samplers"][found["sampler"]]
        return self.accessor(sampler["input"])[:, 0], self.accessor(sampler["output"]), sampler["interpolation"]

    def vertices(self, person: int, key: int) -> np.ndarray:
        """At the keyframe number `key` of the person's rotations."""
        skin = self.document["skins"][person]
        joints = skin["joints"]
        local = np.tile(np.eye(4), (24, 1, 1))
        for number, node in enumerate(joints):
            local[number, :3, :3] = from_quaternion(self.channel(node, "rotation")[1][key])
            local[number, :3, 3] = self.document["nodes"][node]["translation"]
        local[0, :3, 3] = self.channel(joints[0], "translation")[1][key]
        world = np.empty_like(local)
        for number, parent in enumerate(PARENTS):
            world[number] = local[number] if parent < 0 else world[parent] @ local[number]
        binds = self.accessor(skin["inverseBindMatrices"]).reshape(24, 4, 4).transpose(0, 2, 1)
        attributes = self.document["meshes"][person]["primitives"][0]["attributes"]
        rest, which, weight = (self.accessor(attributes[name]) for name in ("POSITION", "JOINTS_0", "WEIGHTS_0"))
        blended = np.einsum("vk,vkij->vij", weight, (world @ binds)[which])
        return np.einsum("vij,vj->vi", blended[:, :3, :3], rest) + blended[:, :3, 3]


def from_quaternion(xyzw: np.ndarray) -> np.ndarray:
    x, y, z, w = xyzw
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


TIMES = np.arange(12) / 30 + 7.5


def test_the_validator_finds_nothing_to_say(body, validate, motion):
    people = [motion([0, 1, 2, 3]), motion([2, 3, 4, 8, 9, 10, 11], name="person_01", seed=1)]

    for clip in (people, people[:1]):
        assert validate(animation.write(body, clip, TIMES))["issues"]["messages"] == []


def test_a_clip_without_people_is_valid(body, validate):
    report = validate(animation.write(body, [], TIMES))

    assert [message["code"] for message in report["issues"]["messages"]] == ["NODE_EMPTY"]  # a hint, as it should be


def test_a_person_in_a_single_frame_is_valid(body, validate, motion):
    report = validate(animation.write(body, [motion([0])], np.array([3.0])))

    assert report["issues"]["messages"] == []


def test_the_skin_moves_as_our_own_skinning_without_pose_blend_shapes(body, motion, skinned, body_without_posedirs):
    moved = motion([0, 1, 5], seed=3)

    clip = Clip(animation.write(body, [moved], TIMES))

    expected = skinned(body_without_posedirs, moved) * TO_GLTF
    for key in range(3):
        assert np.abs(clip.vertices(0, key) - expected[key]).max() < 1e-5  # metres


def test_what_a_plain_skin_loses_is_a_few_millimetres(body, body_without_posedirs):
    """The numbers in docs/clients.md: 300 poses of our synthetic people, of random shapes."""
    from depthhmr.synth.poses import sample_poses

    random = np.random.default_rng(0)
    rotations = axis_angle_to_matrix(sample_poses(random, 300)).astype(np.float32)
    betas, place = random.normal(0, 1, (300, 10)).astype(np.float32), np.zeros((300, 3), np.float32)

    whole = pose_vertices(body, betas, rotations, place)[0]
    lost = 1000 * np.linalg.norm(whole - pose_vertices(body_without_posedirs, betas, rotations, place)[0], axis=-1)

    assert lost.mean() == pytest.approx(1.3, abs=0.1)
    assert np.percentile(lost, 99) == pytest.approx(19, abs=1) and lost.max() == pytest.approx(46, abs=2)


def test_joints_are_where_they_are_in_the_camera_turned_to_y_up(body, motion):
    moved = motion([4, 5], seed=6)
    clip = Clip(animation.write(body, [moved], TIMES))
    rotations = axis_angle_to_matrix(moved.axis_angle).astype(np.float32)

    joints = pose_joints(body, np.tile(moved.betas, (2, 1)), rotations, moved.translation) * TO_GLTF

    pelvis = clip.document["skins"][0]["joints"][0]
    assert np.allclose(clip.channel(pelvis, "translation")[1], joints[:, 0], atol=1e-6)
    assert joints[0, JOINT_NAMES.index("head"), 1] > joints[0, 0, 1]  # the head is above the pelvis: +y is up
    assert joints[0, 0, 2] < 0  # and the person stands before a camera that looks along -z


def test_a_person_is_hidden_while_it_is_not_seen(body, motion):
    """But not at time 0 itself: see HIDDEN_AFTER_S."""
    clip = Clip(animation.write(body, [motion([2, 3, 6, 7])], TIMES[:9]))

    times, scales, interpolation = clip.channel(clip.document["skins"][0]["joints"][0], "scale")

    assert interpolation == "STEP"
    assert times == pytest.approx([0, 0.001, 2 / 30, 4 / 30, 6 / 30, 8 / 30], abs=1e-6)
    assert scales[:, 0].tolist() == [1, 0, 1, 0, 1, 0]


@pytest.mark.parametrize("step_s", [0.0002, 0.001, 0.04])
def test_who_comes_at_once_is_hidden_before(body, motion, validate, step_s):
    data = animation.write(body, [motion([1, 2])], np.arange(3) * step_s)

    clip = Clip(data)
    times, scales, _ = clip.channel(clip.document["skins"][0]["joints"][0], "scale")
    assert scales[:, 0].tolist() == [1, 0, 1] and 0 < times[1] < times[2] == pytest.approx(step_s)
    assert validate(data)["issues"]["messages"] == []


def test_three_js_shows_first_poses_to_programs_without_animation(
    body, motion, in_three, skinned, body_without_posedirs
):
    people = [motion([0, 1]), motion([3, 4], name="person_01", seed=1)]

    (shown,) = in_three(animation.write(body, people, TIMES))["shown"]

    for person, moved in zip(shown, people, strict=True):
        expected = skinned(body_without_posedirs, moved)[0, ::100] * TO_GLTF
        assert person["scale"] == 1 and np.abs(np.array(person["vertices"]) - expected).max() < 1e-5
        # as they would be placed without any animation: neither at the camera nor in a T
        assert person["joints"][0] == pytest.approx(moved.translation[0] * TO_GLTF, abs=1e-5)


def test_three_js_draws_everybody_who_is_in_view(body, motion, in_three, skinned, body_without_posedirs):
    """It takes bounds at the first frame and keeps them; with scale 0 there, a person would vanish for good."""
    late = motion([2, 3, 4], name="person_01", seed=1)

    clip = animation.write(body, [motion([0, 1]), late], np.arange(5) / 32)
    shown = in_three(clip, [0, 0.02, 2 / 32, 3 / 32])["shown"]

    assert [[person["scale"] for person in people] for people in shown] == [[1, 1], [1, 0], [0, 1], [0, 1]]
    for people in shown:
        assert all(person["radius"] > 0.5 and person["drawn_by_photo_camera"] for person in people)
        assert all(person["drawn_from_beside"] for person in people)
    expected = skinned(body_without_posedirs, late)[:2, ::100] * TO_GLTF
    for key, people in enumerate(shown[2:]):
        assert np.abs(np.array(people[1]["vertices"]) - expected[key]).max() < 1e-5


def test_a_clip_starts_at_zero(body, motion):
    clip = Clip(animation.write(body, [motion([0, 1])], TIMES))

    times, _, _ = clip.channel(clip.document["skins"][0]["joints"][0], "rotation")

    assert times[0] == 0 and times[1] == pytest.approx(1 / 30)


def test_neighbouring_rotations_take_the_short_way(body, motion):
    moved = motion(range(12), seed=8)
    moved.axis_angle[:, 0] = np.linspace([0, 0.1, 0], [0, 6.2, 0], 12)  # nearly a whole turn: the sign of w changes

    clip = Clip(animation.write(body, [moved], TIMES))

    turns = clip.channel(clip.document["skins"][0]["joints"][0], "rotation")[1]
    assert np.all(np.sum(turns[1:] * turns[:-1], axis=1) > 0)


def test_people_share_faces_and_weights(body, motion):
    one = animation.write(body, [motion([0])], TIMES)
    two = animation.write(body, [motion([0]), motion([0], name="person_01", seed=1)], TIMES)

    own = len(body.template) * 24  # positions and normals of the second person
    assert len(two) - len(one) < own + 15_000


def test_weights_sum_to_one_and_no_joint_is_named_twice(body, motion):
    attributes = (clip := Clip(animation.write(body, [motion([0])], TIMES))).document["meshes"][0]["primitives"][0]
    joints, weights = (clip.accessor(attributes["attributes"][name]) for name in ("JOINTS_0", "WEIGHTS_0"))

    assert np.abs(weights.sum(axis=1, dtype=np.float64) - 1).max() < 2e-7
    assert all(len({*row[used]}) == used.sum() for row, used in zip(joints, weights > 0, strict=True))
    assert np.all(joints[weights == 0] == 0)


def test_the_same_clip_gives_the_same_bytes(body, motion):
    assert animation.write(body, [motion([0, 1])], TIMES) == animation.write(body, [motion([0, 1])], TIMES)


def test_trimesh_reads_the_mesh(body, motion):
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed (extra `dev`)")
    moved = motion([0, 1])

    scene = trimesh.load(io.BytesIO(animation.write(body, [moved], TIMES)), file_type="glb", process=False)

    (mesh,) = scene.geometry.values()
    assert len(mesh.vertices) == len(body.template) and len(mesh.faces) == len(body.faces)
    pelvis = scene.graph.get("pelvis")[0]  # trimesh knows no animation: the place that the node itself has
    assert pelvis[:3, 3] == pytest.approx(moved.translation[0] * TO_GLTF, abs=1e-5)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"frames": np.array([1, 1])}, "frames that increase, got"),
        ({"frames": np.array([0, 1, 2])}, "expected axis_angle [3, 24, 3], got [2, 24, 3]"),
        ({"translation": np.array([[0, 0, np.nan], [0, 0, 4]])}, "expected finite translation, got NaN"),
        ({"betas": np.zeros(9)}, "expected betas [10], got [9]"),
    ],
)
def test_impossible_motions_are_refused(changes, message, motion):
    good = vars(motion([0, 1]))

    with pytest.raises(ValueError) as refused:
        Motion(**{**good, **changes})

    assert message in str(refused.value)


def test_frames_beyond_the_clip_are_refused(body, motion):
    with pytest.raises(ValueError, match="expected frames 0 to 11, got 12"):
        animation.write(body, [motion([3, 12])], TIMES)


def test_times_that_stand_still_are_refused(body, motion):
    with pytest.raises(ValueError, match="times of frames that increase"):
        animation.write(body, [motion([0])], np.array([1.0, 1.0]))
