"""People become named, coloured meshes."""

from types import SimpleNamespace

import numpy as np

from bodykit.palette import PERSON_COLOURS
from service.meshes import person_meshes


def test_meshes_carry_the_ids_and_the_colours_of_the_overlay():
    people = [SimpleNamespace(id=0), SimpleNamespace(id=1)]

    meshes = person_meshes(people, np.ones((2, 3, 3), dtype=np.float32), np.array([[0, 1, 2]]))

    assert [mesh.name for mesh in meshes] == ["person 0", "person 1"]
    assert [mesh.colour for mesh in meshes] == [tuple(PERSON_COLOURS[0]), tuple(PERSON_COLOURS[1])]


def test_nobody_gives_no_meshes():
    assert person_meshes([], np.empty((0, 3, 3)), np.array([[0, 1, 2]])) == []
