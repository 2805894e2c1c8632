"""The rigged GLB of one photo, read by three.js, trimesh and Khronos' validator."""

import io
import math

import numpy as np
import pytest

from bodykit.body import JOINT_NAMES
from bodykit.camera import Intrinsics, PhotoCamera
from bodykit.meshio import Mesh, glb, rigged
from bodykit.meshio.figure import Figure
from bodykit.meshio.rigs import RIGS

TO_GLTF = np.array([1, -1, -1])
CAMERA = PhotoCamera(Intrinsics(900.0, 1100.0, 630.0, 355.0), 1280, 720)


@pytest.fixture
def figures(motion) -> list[Figure]:
    moved = [motion([0]), motion([0], name="person_01", seed=1, bend=0.6)]
    return [Figure(m.name, m.axis_angle[0], m.translation[0], m.betas, m.colour) for m in moved]


def test_three_js_poses_people_as_our_own_skinning_does(body, body_without_posedirs, figures, in_three, skinned):
    read = in_three(rigged.write(body, figures))

    assert read["animations"] == 0
    for shown, figure in zip(read["shown"][0], figures, strict=True):
        expected = skinned(body_without_posedirs, figure.motion())[0, ::100] * TO_GLTF
        assert np.abs(np.array(shown["vertices"]) - expected).max() < 1e-5
        assert shown["name"] == figure.name and shown["drawn_by_photo_camera"]
        head, pelvis = (shown["joints"][JOINT_NAMES.index(name)] for name in ("head", "pelvis"))
        assert head[1] > pelvis[1] + 0.3  # +y is up


def test_the_validator_finds_nothing_to_say(body, figures, validate):
    for people in (figures, figures[:1]):
        assert validate(rigged.write(body, people, camera=CAMERA))["issues"]["messages"] == []


@pytest.mark.parametrize("rig", RIGS)
def test_joints_have_the_names_of_the_rig(body, figures, in_three, validate, rig):
    data = rigged.write(body, figures, rig=rig)

    # three.js leaves out what its own property paths use, as the colon
    assert in_three(data)["shown"][0][0]["joint_names"] == [name.replace(":", "") for name in RIGS[rig]]
    assert validate(data)["issues"]["messages"] == []


def test_a_rig_names_24_different_joints():
    for names in RIGS.values():
        assert len(names) == len(set(names)) == 24


def test_sides_of_a_rig_are_those_of_the_body():
    for joint, name in enumerate(JOINT_NAMES):
        for side, marks in (("left", ("Left", "_l")), ("right", ("Right", "_r"))):
            for rig in ("mixamo", "ue5"):
                marked = RIGS[rig][joint].endswith(marks[1]) or marks[0] in RIGS[rig][joint]
                assert marked == name.startswith(side)


def test_trimesh_reads_people_and_camera(body, figures):
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed (extra `dev`)")

    scene = trimesh.load(io.BytesIO(rigged.write(body, figures, camera=CAMERA)), file_type="glb", process=False)

    assert sorted(scene.geometry) == ["person_00", "person_01"]


@pytest.mark.parametrize("kind", ["static", "rigged"])
def test_through_its_camera_people_are_where_they_are_in_the_photo(body, figures, in_three, validate, skinned, kind):
    vertices = skinned(body, figures[0].motion())[0]
    if kind == "static":
        data = glb.write([Mesh(vertices, body.faces, "anna")], CAMERA)
    else:
        data = rigged.write(body, figures, camera=CAMERA)

    (camera,) = in_three(data)["cameras"]
    assert validate(data)["issues"]["messages"] == []

    # three.js projects so with the numbers that it took from the file
    x, y, z = (vertices * TO_GLTF).T
    slope = math.tan(math.radians(camera["fov"]) / 2)
    across, up = x / -z / (slope * camera["aspect"]), y / -z / slope  # -1 to 1
    pixels = np.stack([(1 + across) * CAMERA.width / 2, (1 - up) * CAMERA.height / 2], axis=1)
    lens = camera["userData"]
    offset = [lens["cx"] - lens["width"] / 2, lens["cy"] - lens["height"] / 2]  # glTF has no principal point
    assert np.abs(pixels + offset - CAMERA.intrinsics.project(vertices)).max() < 0.01


def test_nobody_gives_an_empty_root(body, validate):
    report = validate(rigged.write(body, []))

    assert [message["code"] for message in report["issues"]["messages"]] == ["NODE_EMPTY"]  # a hint, as it should be


def test_an_impossible_figure_is_refused(body):
    with pytest.raises(ValueError, match=r"motion 'anna': expected axis_angle \[1, 24, 3\]"):
        rigged.write(body, [Figure("anna", np.zeros((23, 3)), np.zeros(3), np.zeros(10))])
