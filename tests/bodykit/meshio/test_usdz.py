"""USDZ files, read by usd-core itself: its composed stage, its checker, and its camera."""

import io
import sys
import zipfile

import numpy as np
import pytest

from bodykit.camera import Intrinsics, PhotoCamera
from bodykit.errors import UserError
from bodykit.meshio import Mesh, usdz

TO_GLTF = np.array([1, -1, -1])
CAMERA = PhotoCamera(Intrinsics(900.0, 1100.0, 600.0, 400.0), 1280, 720)


@pytest.fixture
def people(body, motion, skinned) -> list[Mesh]:
    return [
        Mesh(skinned(body, motion([0], seed=seed))[0], body.faces, f"person {seed}", (200, 30, 60)) for seed in (0, 1)
    ]


@pytest.fixture
def opened(tmp_path):
    pytest.importorskip("pxr", reason="usd-core is not installed (extra `usd`)")
    from pxr import Usd

    def run(data: bytes):
        (tmp_path / "people.usdz").write_bytes(data)
        return Usd.Stage.Open(str(tmp_path / "people.usdz"))

    return run


def test_its_own_reader_finds_people_upright_and_in_metres(opened, people):
    from pxr import UsdGeom

    stage = opened(usdz.write(people, CAMERA))

    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1
    meshes = [UsdGeom.Mesh(prim) for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh)]
    assert [mesh.GetPrim().GetDisplayName() for mesh in meshes] == ["person 0", "person 1"]
    for mesh, person in zip(meshes, people, strict=True):
        assert np.array_equal(np.array(mesh.GetPointsAttr().Get()), person.vertices * TO_GLTF)
        assert np.array_equal(np.array(mesh.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3), person.faces)
        assert mesh.GetFaceVertexCountsAttr().Get()[0] == 3 and mesh.GetNormalsInterpolation() == "vertex"


def test_its_own_validators_have_no_complaint(opened, people):
    stage = opened(usdz.write(people, CAMERA))
    from pxr import UsdValidation

    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()

    assert len(validators) > 20
    assert [error.GetErrorAsString() for error in UsdValidation.ValidationContext(validators).Validate(stage)] == []


def test_through_its_camera_people_are_where_they_are_in_the_photo(opened, people):
    from pxr import Gf, UsdGeom

    stage = opened(usdz.write(people, CAMERA))
    frustum = UsdGeom.Camera(stage.GetPrimAtPath("/people/photo_camera")).GetCamera().frustum
    both = frustum.ComputeViewMatrix() * frustum.ComputeProjectionMatrix()

    points = people[0].vertices[::500]
    seen = np.array([both.Transform(Gf.Vec3d(*(point * TO_GLTF).tolist())) for point in points])  # -1 to 1
    pixels = np.stack([(1 + seen[:, 0]) * CAMERA.width / 2, (1 - seen[:, 1]) * CAMERA.height / 2], axis=1)
    assert np.abs(pixels - CAMERA.intrinsics.project(points)).max() < 0.01


def test_entries_of_the_package_are_stored_at_64_bytes(people, opened):
    with zipfile.ZipFile(io.BytesIO(data := usdz.write(people))) as package:
        (entry,) = package.infolist()

    start = entry.header_offset + 30 + int.from_bytes(data[entry.header_offset + 26 :][:2], "little")
    start += int.from_bytes(data[entry.header_offset + 28 :][:2], "little")
    assert entry.compress_type == zipfile.ZIP_STORED and start % 64 == 0


def test_the_same_people_give_the_same_bytes(people, opened):
    assert usdz.write(people, CAMERA) == usdz.write(people, CAMERA)


def test_nobody_gives_a_stage_without_meshes(opened):
    assert opened(usdz.write([])).GetDefaultPrim().GetName() == "people"


def test_without_usd_core_the_command_that_installs_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "pxr", None)

    with pytest.raises(UserError, match="usd-core, which is not installed: scripts/install usd"):
        usdz.write([])
