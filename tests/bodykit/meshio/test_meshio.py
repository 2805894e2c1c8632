"""Mesh files are read again by independent readers: trimesh, Khronos' validator, and a parser of a few lines."""

import io
import json
import struct

import numpy as np
import pytest

from bodykit.meshio import WRITERS, Mesh, glb, obj, ply, stl


def tetrahedron(name: str = "person 0", *, height: float = 1.0) -> Mesh:
    """Stands 4 m in front of the camera, its tip `height` metres above the base; y points down."""
    vertices = np.array([[0, -height, 4], [0.5, 0, 4.5], [-0.5, 0, 4.5], [0, 0, 3.5]], dtype=np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]], dtype=np.int32)
    return Mesh(vertices, faces, name, (200, 30, 60))


def sphere(rings: int, name: str = "ball") -> Mesh:
    """A globe of `rings` x `rings` vertices around (0, 0, 5), faces counter-clockwise from outside."""
    polar, around = np.meshgrid(np.linspace(0.05, np.pi - 0.05, rings), np.linspace(0, 2 * np.pi, rings), indexing="ij")
    points = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar) + 5], axis=-1)
    corner = (np.arange(rings - 1)[:, None] * rings + np.arange(rings - 1)).ravel()
    faces = np.concatenate(
        [
            np.stack([corner, corner + rings, corner + 1], 1),
            np.stack([corner + 1, corner + rings, corner + rings + 1], 1),
        ]
    )
    return Mesh(points.reshape(-1, 3), faces, name)


def parse_glb(data: bytes) -> tuple[dict, bytes]:
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON" and size % 4 == 0
    document = json.loads(data[20 : 20 + size])
    rest = data[20 + size :]
    if not rest:
        return document, b""
    binary_size, kind = struct.unpack_from("<I4s", rest)
    assert kind == b"BIN\0" and binary_size % 4 == 0 and len(rest) == 8 + binary_size
    return document, rest[8:]


def read_accessor(document: dict, binary: bytes, index: int) -> np.ndarray:
    accessor = document["accessors"][index]
    view = document["bufferViews"][accessor["bufferView"]]
    dtype = {5123: "<u2", 5125: "<u4", 5126: "<f4"}[accessor["componentType"]]
    width = {"SCALAR": 1, "VEC3": 3}[accessor["type"]]
    assert view["byteOffset"] % 4 == 0
    return np.frombuffer(binary, dtype, accessor["count"] * width, view["byteOffset"]).reshape(-1, width)


def read_with_trimesh(data: bytes, file_type: str):
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed (extra `dev`)")
    return trimesh.load(io.BytesIO(data), file_type=file_type, process=False)


def test_a_person_stands_upright_in_gltf_and_faces_stay_outside():
    mesh = tetrahedron(height=1.0)

    document, binary = parse_glb(glb.write([mesh]))

    primitive = document["meshes"][0]["primitives"][0]
    positions = read_accessor(document, binary, primitive["attributes"]["POSITION"])
    normals = read_accessor(document, binary, primitive["attributes"]["NORMAL"])
    assert positions[0] == pytest.approx([0, 1, -4])
    assert normals[0, 1] > 0.5  # the tip points up
    outwards = positions - positions.mean(axis=0)
    assert ((outwards * normals).sum(axis=1) > 0).all()


def test_gltf_positions_carry_their_exact_bounds():
    document, binary = parse_glb(glb.write([sphere(9)]))

    index = document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]
    positions = read_accessor(document, binary, index)
    accessor = document["accessors"][index]
    assert np.array_equal(np.float32(accessor["min"]), positions.min(axis=0))
    assert np.array_equal(np.float32(accessor["max"]), positions.max(axis=0))


def test_every_person_is_a_named_node_under_one_root():
    document, _ = parse_glb(glb.write([tetrahedron("person 0"), tetrahedron("person 1", height=2.0)]))

    root = document["nodes"][document["scenes"][0]["nodes"][0]]
    assert [document["nodes"][i]["name"] for i in root["children"]] == ["person 0", "person 1"]
    assert document["asset"]["extras"] == {
        "units": "metres",
        "frame": "+y up, camera looks along -z",
        "source_frame": "camera coordinates, right-handed, x right, y down, z forward",
    }


def test_people_with_one_topology_share_the_face_indices():
    document, _ = parse_glb(glb.write([tetrahedron("a"), tetrahedron("b", height=2.0)]))

    assert len({mesh["primitives"][0]["indices"] for mesh in document["meshes"]}) == 1


@pytest.mark.parametrize(("rings", "component"), [(255, 5123), (257, 5125)])
def test_indices_are_as_small_as_the_vertex_count_allows(rings, component):
    mesh = sphere(rings)

    document, binary = parse_glb(glb.write([mesh]))

    index = document["meshes"][0]["primitives"][0]["indices"]
    assert document["accessors"][index]["componentType"] == component
    assert np.array_equal(read_accessor(document, binary, index).reshape(-1, 3), mesh.faces)


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_the_same_people_give_the_same_bytes(writer):
    assert writer([tetrahedron(), sphere(7)]) == writer([tetrahedron(), sphere(7)])


def test_no_people_give_a_gltf_file_without_meshes():
    document, binary = parse_glb(glb.write([]))

    assert document["nodes"] == [{"name": "people"}]
    assert "meshes" not in document and "buffers" not in document and binary == b""


@pytest.mark.parametrize("people", [0, 1, 2, 5])
def test_khronos_validator_finds_no_error_and_no_warning(validate, people):
    report = validate(glb.write([sphere(5 + i, f"person {i}") for i in range(people)]))

    assert report["issues"]["numErrors"] == 0, report["issues"]["messages"]
    assert report["issues"]["numWarnings"] == 0, report["issues"]["messages"]


def test_khronos_validator_accepts_large_meshes(validate):
    report = validate(glb.write([sphere(257), tetrahedron()]))

    assert report["issues"]["numErrors"] == report["issues"]["numWarnings"] == 0, report["issues"]["messages"]


def test_khronos_validator_does_find_a_broken_file(validate):
    data = bytearray(glb.write([tetrahedron()]))
    data[-4:] = np.float32(np.nan).tobytes()
    data = bytes(data).replace(b'"componentType":5126', b'"componentType":9999')

    assert validate(data)["issues"]["numErrors"] > 0


def test_trimesh_reads_the_gltf_file_as_named_people():
    scene = read_with_trimesh(glb.write([tetrahedron("anna"), sphere(9, "berta")]), "glb")

    assert set(scene.geometry) == {"anna", "berta"}
    assert scene.geometry["anna"].vertices == pytest.approx(tetrahedron().vertices * (1, -1, -1))
    assert scene.geometry["anna"].is_watertight and scene.geometry["anna"].volume > 0


def test_trimesh_reads_obj_and_keeps_camera_coordinates():
    data = obj.write([tetrahedron("anna b")])

    mesh = read_with_trimesh(data, "obj")

    assert data.startswith(b"# frame: camera coordinates, right-handed, x right, y down, z forward\n# units: metres\n")
    assert b"\no anna_b\n" in data
    assert mesh.vertices == pytest.approx(tetrahedron().vertices)
    assert mesh.volume > 0


def test_trimesh_reads_two_people_from_ply_with_colours():
    first, second = tetrahedron("anna"), sphere(6, "berta")
    data = ply.write([first, second])

    mesh = read_with_trimesh(data, "ply")

    assert b"comment vertices 4 to 39: berta\n" in data and b"comment frame: camera" in data
    assert mesh.vertices == pytest.approx(np.concatenate([first.vertices, second.vertices]))
    assert np.array_equal(mesh.faces, np.concatenate([first.faces, second.faces + 4]))
    assert mesh.visual.vertex_colors[0, :3].tolist() == [200, 30, 60]


def test_trimesh_reads_two_people_from_stl_upright_and_in_millimetres():
    first, second = tetrahedron("anna"), sphere(6, "berta")
    data = stl.write([first, second])

    mesh = read_with_trimesh(data, "stl")

    assert len(mesh.faces) == len(first.faces) + len(second.faces)
    tip = first.vertices[0]  # 1 m above the base, 4 m away
    assert mesh.vertices[0] == pytest.approx([1000 * tip[0], 1000 * tip[2], -1000 * tip[1]])
    assert mesh.bounds[1, 2] == pytest.approx(1000 * -min(first.vertices[:, 1].min(), second.vertices[:, 1].min()))
    written = np.frombuffer(data[84:], stl.TRIANGLE)["normal"][: len(first.faces)]
    assert written == pytest.approx(mesh.face_normals[: len(first.faces)], abs=1e-5)
    assert read_with_trimesh(stl.write([first]), "stl").volume > 0


def test_obj_numbers_the_second_person_after_the_first():
    lines = obj.write([tetrahedron("a"), tetrahedron("b")]).decode().splitlines()

    faces = [line for line in lines if line.startswith("f ")]
    assert faces[0] == "f 1//1 2//2 3//3" and faces[4] == "f 5//5 6//6 7//7"


def test_no_people_give_readable_obj_ply_and_stl():
    assert b"people: 0" in obj.write([])
    assert b"element vertex 0\n" in ply.write([])
    assert len(stl.write([])) == 84


def test_normals_are_unit_and_point_out_of_a_sphere():
    mesh = sphere(31)

    assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(np.ones(31 * 31), abs=1e-6)
    inside = slice(31 * 3, -31 * 3)  # the globe is open at its poles
    assert ((mesh.vertices - (0, 0, 5)) * mesh.normals).sum(axis=1)[inside].min() > 0.95


def test_a_vertex_without_faces_still_has_a_unit_normal():
    corner = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [9, 9, 9]], dtype=np.float32)

    normals = Mesh(corner, np.array([[0, 1, 2]]), "flat").normals

    assert normals[3].tolist() == [0, 0, -1]


@pytest.mark.parametrize(
    ("vertices", "faces", "complaint"),
    [
        (np.zeros((3, 2)), [[0, 1, 2]], "expected vertices"),
        (np.zeros((3, 3)), np.zeros((0, 3)), "expected faces"),
        (np.zeros((3, 3)), [[0, 1, 3]], "0 to 2, got 0 to 3"),
        (np.full((3, 3), np.nan), [[0, 1, 2]], "finite"),
    ],
)
def test_a_mesh_that_no_file_can_hold_is_refused(vertices, faces, complaint):
    with pytest.raises(ValueError, match=complaint):
        Mesh(np.asarray(vertices), np.asarray(faces), "broken")
