"""People as meshes that a file can hold: named after their ids, in the colours of the overlay."""

from collections.abc import Sequence

import numpy as np

from bodykit.meshio import Mesh
from bodykit.palette import person_colours
from service.results import Person


def person_meshes(people: Sequence[Person], vertices: np.ndarray, faces: np.ndarray) -> list[Mesh]:
    """One mesh for each person; vertices [P, V, 3] as `people.posed_vertices` gives them, faces [F, 3]."""
    colours = person_colours(len(people)).tolist()
    return [
        Mesh(surface, faces, f"person {person.id}", colour)
        for person, surface, colour in zip(people, vertices, colours, strict=True)
    ]
