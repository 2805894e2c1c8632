"""The people of one photo as files for other programs: meshes, skeletons, parameters. Knows nothing of HTTP."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bodykit.body import Body
from bodykit.camera import PhotoCamera
from bodykit.meshio import Mesh, bvh, glb, obj, ply, rigged, smpl_npz, stl, usdz
from bodykit.meshio.even import EvenMotion, evenly
from bodykit.meshio.figure import Figure
from service.errors import NotAcceptable
from service.results import Person

DEFAULT_RIG = "smpl"  # of files that always have a skeleton


@dataclass(frozen=True, eq=False)
class Scene:
    """People with what their files need. `rig` names the joints and gives GLB files a skeleton; None leaves it out."""

    people: Sequence[Person]
    vertices: np.ndarray | None  # [P, V, 3], where the format needs them
    colours: np.ndarray  # [P, 3] sRGB
    body: Body
    camera: PhotoCamera
    rig: str | None = None

    def only(self, index: int) -> "Scene":
        """The same scene with one of its people."""
        one = slice(index, index + 1)
        vertices = None if self.vertices is None else self.vertices[one]
        return replace(self, people=self.people[one], vertices=vertices, colours=self.colours[one])

    @property
    def meshes(self) -> list[Mesh]:
        """One per person, near to far, in camera coordinates."""
        assert self.vertices is not None, "this format needs Options(vertices=True)"
        return [
            Mesh(vertices, self.body.faces, name=name_of(person), colour=tuple(colour))
            for person, vertices, colour in zip(self.people, self.vertices, self.colours.tolist(), strict=True)
        ]

    @property
    def figures(self) -> list[Figure]:
        """One per person, near to far."""
        return [
            Figure(name_of(person), person.axis_angle, person.translation, person.betas, tuple(colour))
            for person, colour in zip(self.people, self.colours.tolist(), strict=True)
        ]


def name_of(person: Person) -> str:
    return f"person_{person.id:02d}"


def write_glb(scene: Scene) -> bytes:
    """With a skeleton where a rig is asked for; the photo's camera in both cases."""
    if scene.rig is None:
        return glb.write(scene.meshes, scene.camera)
    return rigged.write(scene.body, scene.figures, rig=scene.rig, camera=scene.camera)


def write_bvh(scene: Scene) -> bytes:
    """One frame. Raises NotAcceptable unless the scene has exactly one person."""
    person, motion = _the_person(scene, "BVH", "bvh")
    return bvh.write(scene.body, motion, person.betas, rig=scene.rig or DEFAULT_RIG)


def write_npz(scene: Scene) -> bytes:
    """One frame. Raises NotAcceptable unless the scene has exactly one person."""
    person, motion = _the_person(scene, "NPZ", "npz")
    return smpl_npz.write(scene.body, motion, person.betas)


@dataclass(frozen=True)
class PeopleFile:
    """A format of people. `vertices`: whether the scene must have them; `many`: whether a file holds more than one person."""

    media_type: str
    write: Callable[[Scene], bytes]
    vertices: bool = True
    many: bool = True


# By file extension; those whose media types are not registered begin with x-.
PEOPLE_FILES: dict[str, PeopleFile] = {
    "glb": PeopleFile("model/gltf-binary", write_glb),
    "obj": PeopleFile("model/obj", lambda scene: obj.write(scene.meshes)),
    "ply": PeopleFile("application/x-ply", lambda scene: ply.write(scene.meshes)),
    "stl": PeopleFile("model/stl", lambda scene: stl.write(scene.meshes)),
    "usdz": PeopleFile("model/vnd.usdz+zip", lambda scene: usdz.write(scene.meshes, scene.camera)),
    "bvh": PeopleFile("application/x-bvh", write_bvh, vertices=False, many=False),
    "npz": PeopleFile("application/x-npz", write_npz, vertices=False, many=False),
}


def _the_person(scene: Scene, name: str, extension: str) -> tuple[Person, EvenMotion]:
    count = len(scene.people)
    if not count:
        raise NotAcceptable(f"nobody was found, and a file of {name} needs a person; JSON can say that there is none")
    if count > 1:
        raise NotAcceptable(
            f"{count} people were found, and a file of {name} holds one: a ZIP with mesh={extension} has a file for "
            "each, and max_people=1 keeps the person with the highest score"
        )
    (figure,) = scene.figures
    return scene.people[0], evenly(figure.motion(), np.zeros(1))
