"""Writes a result as JSON, overlay picture, ZIP, or a file of `people_files`. Knows nothing of HTTP.

Used by the REST API and the command line. All functions are CPU-bound: call them in a thread.
"""

import io
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from PIL import Image

from bodykit.body import JOINT_NAMES, Body
from bodykit.camera import PhotoCamera
from bodykit.errors import UserError
from bodykit.manifest import Manifest
from bodykit.meshio import usdz
from bodykit.palette import person_colours
from service.decoding.images import ImageLimits, upright_canvas
from service.errors import NotAcceptable
from service.formats.people_files import PEOPLE_FILES, Scene, name_of
from service.results import FRAME, Person, Recovery

JPEG_QUALITY = 90
VERTEX_DECIMALS = 5  # 10 micrometres; shortens the JSON by a third
COMPRESSED = (".jpg", ".usdz")  # stored in a ZIP; a USDZ may be read in place
ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a ZIP can hold; fixed, so that the same input gives the same bytes


@dataclass(frozen=True)
class Job:
    """A result and what the formats need in addition."""

    recovery: Recovery
    manifest: Manifest
    body: Body
    limits: ImageLimits
    request_id: str
    mesh: Sequence[str] = ("glb",)  # formats of each person's files in a ZIP, keys of PEOPLE_FILES
    rig: str | None = None  # joint names of skeletons, a key of bodykit.meshio.rigs.RIGS; GLB has one only if it is set


@dataclass(frozen=True)
class Format:
    """How to write a result, and whether the result must contain posed vertices."""

    media_type: str
    extension: str
    write: Callable[[Job], bytes]
    vertices: bool


def write_json(job: Job) -> bytes:
    """The reply as UTF-8 JSON."""
    return orjson.dumps(as_json(job), option=orjson.OPT_SERIALIZE_NUMPY)


def as_json(job: Job) -> dict[str, Any]:
    """The reply as a dictionary; numpy arrays stay arrays."""
    recovery = job.recovery
    camera = recovery.camera.intrinsics
    reply: dict[str, Any] = {
        "request_id": job.request_id,
        "model": model_json(job.manifest),
        "image": {"width": recovery.width, "height": recovery.height},
        "camera": {
            "fx": camera.fx,
            "fy": camera.fy,
            "cx": camera.cx,
            "cy": camera.cy,
            "source": recovery.camera.source,
            "note": recovery.camera.note,
        },
        "frame": FRAME,
        "joint_names": JOINT_NAMES,
        "people": [_person_json(person) for person in recovery.people],
        "timings_ms": {
            "decode": round(recovery.timings.decode, 3),
            "queue": round(recovery.timings.queue, 3),
            "infer": round(recovery.timings.infer, 3),
            "post": round(recovery.timings.post, 3),
        },
    }
    if recovery.vertices is not None:
        for person, vertices in zip(reply["people"], recovery.vertices, strict=True):
            person["vertices"] = np.round(vertices, VERTEX_DECIMALS)
    if recovery.depth is not None:
        height, width = recovery.depth.values.shape
        values = np.ascontiguousarray(recovery.depth.values)
        reply["depth"] = {"height": height, "width": width, "values": values, "region": recovery.depth.region}
    return reply


def model_json(manifest: Manifest) -> dict[str, Any]:
    """Identity of the network and of its body model."""
    body = {"name": manifest.body.name, "version": manifest.body.version, "sha256": manifest.body.sha256}
    return {"name": manifest.name, "version": manifest.version, "sha256": manifest.sha256, "body": body}


def write_glb(job: Job) -> bytes:
    """One scene with all people: +y up, metres, as glTF requires."""
    return PEOPLE_FILES["glb"].write(scene_of(job))


def write_jpeg(job: Job) -> bytes:
    return _overlay(job, "JPEG", quality=JPEG_QUALITY)


def write_png(job: Job) -> bytes:
    return _overlay(job, "PNG", compress_level=3)


def write_zip(job: Job) -> bytes:
    """people.json, scene.glb, overlay.jpg and the files of each person."""
    scene = scene_of(job)
    files = {"people.json": write_json(job), "scene.glb": write_glb(job), "overlay.jpg": write_jpeg(job)}
    for index, person in enumerate(scene.people):
        for extension in job.mesh:
            files[f"{name_of(person)}.{extension}"] = PEOPLE_FILES[extension].write(scene.only(index))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, ZIP_DATE)
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(COMPRESSED) else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, compresslevel=1)
    return packed.getvalue()


def scene_of(job: Job) -> Scene:
    """The people of a result as their files want them."""
    recovery = job.recovery
    return Scene(
        people=recovery.people,
        vertices=recovery.vertices,
        colours=person_colours(len(recovery.people)),
        body=job.body,
        camera=PhotoCamera(recovery.camera.intrinsics, recovery.width, recovery.height),
        rig=job.rig,
    )


def _of_people(extension: str) -> Format:
    file = PEOPLE_FILES[extension]
    return Format(file.media_type, extension, lambda job: file.write(scene_of(job)), vertices=file.vertices)


# Where Accept has a pattern, as image/* or */*, the first that fits it is the answer.
FORMATS: Sequence[Format] = (
    Format("application/json", "json", write_json, vertices=False),
    _of_people("glb"),
    Format("image/jpeg", "jpg", write_jpeg, vertices=True),
    Format("image/png", "png", write_png, vertices=True),
    Format("application/zip", "zip", write_zip, vertices=True),
    *(_of_people(extension) for extension in PEOPLE_FILES if extension != "glb"),
)


def check_available(extensions: Iterable[str]) -> None:
    """Raises NotAcceptable for formats that need a package which is not installed."""
    if "usdz" in extensions:
        try:
            usdz.check_installed()
        except UserError as error:
            raise NotAcceptable(str(error)) from error


def _person_json(person: Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "score": person.score,
        "box": person.box,
        "translation": person.translation,
        "global_orient": person.axis_angle[0],
        "body_pose": person.axis_angle[1:],
        "betas": person.betas,
        "joints_3d": person.joints_3d,
        "joints_2d": person.joints_2d,
        "height_m": person.height_m,
    }


def _vertices(job: Job) -> np.ndarray:
    assert job.recovery.vertices is not None, "this format needs Options(vertices=True)"
    return job.recovery.vertices


def _overlay(job: Job, format_name: str, **options: int) -> bytes:
    """The upright photo with the people drawn over it, in the photo's own colour profile."""
    from service.formats.overlay import paint_overlay  # compiled by numba: not imported for plain JSON

    packed = io.BytesIO()
    with upright_canvas(job.recovery.content, limits=job.limits) as canvas:
        paint_overlay(canvas.pixels, _vertices(job), job.body.faces, job.recovery.camera.intrinsics)
        Image.fromarray(canvas.pixels).save(packed, format_name, icc_profile=canvas.icc_profile, **options)
    return packed.getvalue()
