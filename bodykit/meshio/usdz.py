"""USDZ: one mesh per person and the photo's camera, +y up, metres, through Pixar's usd-core (the extra `usd`).

Programs differ in what they show of a USDZ file; this one keeps to its specification. usd-core writes the layer and the
package: a crate file and a ZIP of aligned entries, which would be a project of its own.
"""

import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bodykit.camera import NEAR_M, PhotoCamera
from bodykit.errors import UserError
from bodykit.meshio.gltf import CAMERA_TO_GLTF, FAR_M, linear
from bodykit.meshio.mesh import Mesh

FOCAL_LENGTH = 50.0  # tenths of a unit; only its ratio to the apertures counts


def check_installed() -> None:
    """Raises UserError without usd-core."""
    if find_spec("pxr") is None:
        raise UserError("USDZ needs the package usd-core, which is not installed: scripts/install usd")


def write(meshes: Sequence[Mesh], camera: PhotoCamera | None = None) -> bytes:
    """A .usdz file. Raises UserError without usd-core."""
    check_installed()
    from pxr import Sdf, Usd, UsdGeom

    with tempfile.TemporaryDirectory() as folder:
        layer, package = Path(folder, "people.usdc"), Path(folder, "people.usdz")
        stage = Usd.Stage.CreateNew(str(layer))
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        root = UsdGeom.Xform.Define(stage, "/people")
        stage.SetDefaultPrim(root.GetPrim())
        for number, mesh in enumerate(meshes):
            _add_mesh(stage, f"/people/person_{number:02d}", mesh)
        if camera is not None:
            _add_camera(UsdGeom.Camera.Define(stage, "/people/photo_camera"), camera)
        stage.GetRootLayer().Save()
        writer = Sdf.ZipFileWriter.CreateNew(str(package))
        writer.AddFile(str(layer), layer.name)
        if not writer.Save():
            raise OSError("usd-core could not write the package")
        return package.read_bytes()


def _add_mesh(stage: Any, path: str, mesh: Mesh) -> None:
    from pxr import UsdGeom, UsdShade, Vt

    points = mesh.vertices * CAMERA_TO_GLTF
    prim = UsdGeom.Mesh.Define(stage, path)
    prim.GetPrim().SetDisplayName(mesh.name)
    prim.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(points)))
    prim.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(mesh.normals * CAMERA_TO_GLTF)))
    prim.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    prim.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(mesh.faces), 3, np.int32)))
    prim.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(mesh.faces.ravel()))
    prim.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    prim.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(np.stack([points.min(axis=0), points.max(axis=0)])))
    UsdShade.MaterialBindingAPI.Apply(prim.GetPrim()).Bind(_material(stage, f"{path}/material", mesh))


def _material(stage: Any, path: str, mesh: Mesh) -> Any:
    from pxr import Gf, Sdf, UsdShade

    material = UsdShade.Material.Define(stage, path)
    shader = UsdShade.Shader.Define(stage, f"{path}/surface")
    shader.CreateIdAttr("UsdPreviewSurface")
    colour = Gf.Vec3f(*linear(mesh.colour).tolist())
    shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(colour)
    shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(0.8)
    material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
    return material


def _add_camera(prim: Any, photo: PhotoCamera) -> None:
    """A USD camera looks along -z as glTF's does, and has a principal point: the offset of its aperture."""
    from pxr import Gf

    lens = photo.intrinsics
    across, down = FOCAL_LENGTH / lens.fx, FOCAL_LENGTH / lens.fy  # of one pixel on the film
    prim.CreateFocalLengthAttr(FOCAL_LENGTH)
    prim.CreateHorizontalApertureAttr(photo.width * across)
    prim.CreateVerticalApertureAttr(photo.height * down)
    prim.CreateHorizontalApertureOffsetAttr((photo.width / 2 - lens.cx) * across)
    prim.CreateVerticalApertureOffsetAttr((lens.cy - photo.height / 2) * down)
    prim.CreateClippingRangeAttr(Gf.Vec2f(NEAR_M, FAR_M))
