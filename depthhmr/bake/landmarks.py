"""Named vertices: fingertips, toes, heels and the face, under the names that `smplx` uses."""

import numpy as np

from depthhmr.bake.sources import BaseMesh
from depthhmr.bake.topology import nearest_vertex

FINGERS = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}
# The marker at the tip of each digit.
TOE_MARKERS = {"BigToe": "toe-1-3", "SmallToe": "toe-5-4"}


def find_landmarks(mesh: BaseMesh, points: np.ndarray, vertices: np.ndarray, weights: np.ndarray) -> dict[str, int]:
    """Vertex index per name.

    points [n, 3] are the first n base mesh vertices in the T-pose, from which the digits are found; vertices [V, 3] and
    weights [V, 24] are the body's. The left side is found, the caller mirrors it.
    """
    source = mesh.vertices[: len(points)]

    def at_marker(name: str) -> int:
        centre = mesh.vertices[mesh.group_vertices(f"joint-l-{name}")].mean(axis=0)
        return nearest_vertex(vertices, points[nearest_vertex(source, centre)])

    found = {f"l{finger}": at_marker(f"finger-{number}-4") for finger, number in FINGERS.items()}
    found.update({f"L{toe}": at_marker(marker) for toe, marker in TOE_MARKERS.items()})
    head = np.flatnonzero(weights[:, 15] > 0.9)
    left_foot = np.flatnonzero((vertices[:, 0] > 0) & (vertices[:, 1] < vertices[:, 1].min() + 0.03))
    found["nose"] = int(head[np.argmax(vertices[head, 2] - 10 * np.abs(vertices[head, 0]))])
    found["lear"] = int(head[np.argmax(vertices[head, 0])])
    found["LHeel"] = int(left_foot[np.argmin(vertices[left_foot, 2])])
    eye = points[nearest_vertex(source, mesh.vertices[mesh.group_vertices("joint-l-eye")].mean(axis=0))]
    front = head[(np.abs(vertices[head, 0] - eye[0]) < 0.02) & (np.abs(vertices[head, 1] - eye[1]) < 0.015)]
    found["leye"] = int(front[np.argmax(vertices[front, 2] - np.abs(vertices[front, :2] - eye[:2]).sum(axis=1))])
    return found


def mirror_landmarks(left: dict[str, int], mirror: np.ndarray) -> dict[str, int]:
    """The landmarks of both sides."""
    opposite = {"l": "r", "L": "R"}
    right = {opposite[name[0]] + name[1:]: int(mirror[v]) for name, v in left.items() if name[0] in opposite}
    return {**left, **right}
