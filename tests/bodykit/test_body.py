"""The free body is what its paper promises, and damaged files are refused with a reason."""

import dataclasses
import hashlib
import io
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from bodykit.body import JOINT_NAMES, JOINTS, PARENTS, Body, SparseRows, check_body, decode_body, encode_body, load_body
from bodykit.errors import UserError

BODY = load_body()
MIRRORED_JOINTS = [
    JOINT_NAMES.index(name.replace("left", "other").replace("right", "left").replace("other", "right"))
    for name in JOINT_NAMES
]
FLIP = np.float32([-1, 1, 1])


def dense_weights(body: Body) -> np.ndarray:
    weights = np.zeros((len(body.template), JOINTS), np.float32)
    np.put_along_axis(weights, body.weight_index, body.weight_value, axis=1)
    return weights


@pytest.fixture(scope="module")
def mirror() -> np.ndarray:
    """For each vertex the one at its mirrored position."""
    place = {tuple(point): vertex for vertex, point in enumerate((BODY.template + 0.0).tolist())}
    return np.array([place[tuple(point)] for point in (BODY.template * FLIP + 0.0).tolist()])


def test_the_free_body_has_the_promised_size_and_licence() -> None:
    content = files("bodykit").joinpath("data/free_body.npz").read_bytes()

    assert (BODY.name, BODY.version, BODY.license) == ("free", "1", "CC0-1.0")
    assert BODY.sha256 == hashlib.sha256(content).hexdigest()
    assert len(content) < 1_400_000
    assert BODY.template.shape == (6905, 3)
    assert BODY.faces.shape == (13806, 3)
    assert BODY.provenance["files_license"] == "CC0-1.0"


def test_every_joint_comes_after_its_parent() -> None:
    assert len(PARENTS) == len(JOINT_NAMES) == 24
    assert PARENTS[0] == -1
    assert all(0 <= PARENTS[joint] < joint for joint in range(1, 24))


def test_the_surface_is_closed_and_winds_one_way() -> None:
    corners = BODY.faces
    edges = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    directed = set(map(tuple, edges.tolist()))

    assert len(directed) == len(edges), "an edge is used twice in the same direction"
    assert all((b, a) in directed for a, b in directed), "an edge has no neighbour on its other side"


def test_the_surface_faces_outward_and_holds_a_person() -> None:
    a, b, c = np.moveaxis(BODY.template[BODY.faces].astype(np.float64), 1, 0)

    litres = 1000 * np.einsum("fi,fi->", a, np.cross(b, c)) / 6

    assert 55 < litres < 85


def test_the_surface_is_one_piece() -> None:
    component = np.arange(len(BODY.template))
    for _ in range(200):
        lowest = component[BODY.faces].min(axis=1)
        spread = component.copy()
        for corner in range(3):
            np.minimum.at(spread, BODY.faces[:, corner], lowest)
        if np.array_equal(spread, component):
            break
        component = spread

    assert np.unique(component).tolist() == [0]


def test_left_and_right_are_exact_mirror_images(mirror: np.ndarray) -> None:
    assert np.array_equal(np.sort(mirror), np.arange(len(mirror)))
    np.testing.assert_array_equal(BODY.shapedirs[mirror] * FLIP[:, None], BODY.shapedirs)
    np.testing.assert_allclose(BODY.joint_template[MIRRORED_JOINTS] * FLIP, BODY.joint_template, atol=1e-7)
    np.testing.assert_array_equal(dense_weights(BODY)[mirror][:, MIRRORED_JOINTS], dense_weights(BODY))


def test_faces_are_mirror_images_too(mirror: np.ndarray) -> None:
    faces = {frozenset(face) for face in BODY.faces.tolist()}

    mirrored = {frozenset(face) for face in mirror[BODY.faces].tolist()}

    # The fan over the mouth and the triangles across the middle line may be cut either way.
    assert len(faces - mirrored) < 0.01 * len(faces)


def test_the_rest_pose_is_a_t() -> None:
    joints = {name: BODY.joint_template[index] for index, name in enumerate(JOINT_NAMES)}

    np.testing.assert_allclose(joints["pelvis"], 0, atol=1e-3)
    for part in ("elbow", "wrist"):
        across = joints[f"left_{part}"] - joints["left_shoulder"]
        assert abs(across[1]) < 0.01 * across[0]
        assert abs(across[2]) < 0.01 * across[0]
    assert joints["left_hip"][0] > 0 > joints["right_hip"][0]
    assert joints["head"][1] > joints["neck"][1] > joints["spine3"][1] > 0 > joints["left_knee"][1]
    assert joints["left_foot"][2] > joints["left_ankle"][2], "toes point to +z"


def test_the_mean_person_is_1_70_m_and_as_wide_as_tall() -> None:
    height, span = np.ptp(BODY.template[:, 1]), np.ptp(BODY.template[:, 0])

    assert height == pytest.approx(1.70, abs=0.01)
    assert span / height == pytest.approx(1.0, abs=0.02)


def test_random_people_are_people() -> None:
    betas = np.random.default_rng(0).normal(size=(200, 10)).astype(np.float32)

    people = BODY.template + np.einsum("vck,pk->pvc", BODY.shapedirs, betas, optimize=True)
    heights = np.ptp(people[:, :, 1], axis=1)

    assert heights.mean() == pytest.approx(1.70, abs=0.03)
    assert heights.std() == pytest.approx(0.12, abs=0.02)
    assert heights.min() > 1.2
    assert heights.max() < 2.2


def test_weights_are_shares_of_at_most_four_joints() -> None:
    assert BODY.weight_value.min() >= 0
    np.testing.assert_allclose(BODY.weight_value.sum(axis=1), 1, atol=1e-6)


def test_joints_are_sparse_means_of_vertices() -> None:
    regressor = BODY.joint_regressor.dense(len(BODY.template)).astype(np.float64)

    assert np.diff(BODY.joint_regressor.offset).max() <= 30
    assert regressor.min() >= 0
    np.testing.assert_allclose(regressor @ BODY.template, BODY.joint_template, atol=1e-6)
    moved = np.einsum("jv,vck->jck", regressor, BODY.shapedirs)
    np.testing.assert_allclose(moved, BODY.joint_shapedirs, atol=1e-6)


def test_landmarks_lie_where_their_names_say() -> None:
    place = {name: BODY.template[vertex] for name, vertex in BODY.vertex_ids.items()}

    assert len(place) == 21
    assert place["nose"][0] == 0
    assert all(place[f"l{part}"][0] > 0 > place[f"r{part}"][0] for part in ("eye", "ear", "thumb", "pinky"))
    fingers = [place[f"l{finger}"][2] for finger in ("thumb", "index", "middle", "ring", "pinky")]
    assert fingers == sorted(fingers, reverse=True), "from the thumb in front to the little finger behind"
    assert place["LBigToe"][2] > place["LSmallToe"][2] > place["LHeel"][2]


def test_a_written_body_reads_back_the_same_and_writes_the_same_bytes() -> None:
    content = encode_body(BODY)

    again = decode_body(content, origin="memory")

    assert encode_body(again) == content
    for field in dataclasses.fields(Body):
        before, after = getattr(BODY, field.name), getattr(again, field.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(BODY.posedirs.column, again.posedirs.column)


def test_sparse_rows_and_dense_arrays_are_the_same_thing() -> None:
    full = np.zeros((3, 5, 2), np.float32)
    full[0, 4] = (0, 1)
    full[2, 1] = (2, 3)

    rows = SparseRows.from_dense(full)

    assert rows.offset.tolist() == [0, 1, 1, 2]
    np.testing.assert_array_equal(rows.dense(5), full)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UserError, match=r"cannot read the body file .*nowhere.npz: No such file"):
        load_body(Path("nowhere.npz"))


@pytest.mark.parametrize(
    "content", [b"", b"not an archive", encode_body(BODY)[:5000]], ids=["empty", "text", "cut off"]
)
def test_what_is_no_body_file_is_refused(content: bytes) -> None:
    with pytest.raises(UserError, match="thing is not a body file"):
        decode_body(content, origin="thing")


def test_an_npz_without_a_body_is_refused() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, numbers=np.arange(3))

    with pytest.raises(UserError, match="not a body file"):
        decode_body(buffer.getvalue(), origin="thing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"template": BODY.template[:, :2]}, r"template has shape \[6905, 2\], expected \[6905, 3\]"),
        ({"faces": BODY.faces + 1}, r"faces holds an index outside 0\.\.6904"),
        ({"weight_value": BODY.weight_value * 2}, "do not sum to 1"),
        ({"shapedirs": BODY.shapedirs[:, :, :4]}, r"shapedirs has shape \[6905, 3, 4\]"),
        ({"template": BODY.template * np.float32("nan")}, "not finite"),
        ({"vertex_ids": {"nose": 7000}}, "vertex_ids holds an index outside"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_file_that_contradicts_itself_is_refused(change: dict, message: str) -> None:
    content = encode_body(dataclasses.replace(BODY, **change))

    with pytest.raises(UserError, match=message):
        decode_body(content, origin="thing")


@pytest.mark.parametrize(
    "name",
    ["template", "shapedirs", "joint_template", "joint_shapedirs", "weight_value", "joint_regressor", "posedirs"],
)
def test_a_number_that_is_none_is_refused_and_its_array_named(name: str) -> None:
    array = getattr(BODY, name)
    values = (array.value if isinstance(array, SparseRows) else array).copy()
    values.flat[-1] = np.inf
    changed = dataclasses.replace(array, value=values) if isinstance(array, SparseRows) else values

    with pytest.raises(UserError, match=f"thing: {name} holds values that are not finite"):
        check_body(dataclasses.replace(BODY, **{name: changed}), origin="thing")
