"""One closed, symmetric surface of about 6.9k vertices out of MakeHuman's 13k, and the map from one to the other."""

from dataclasses import dataclass

import fast_simplification
import numpy as np
import trimesh
from scipy import sparse
from scipy.spatial import cKDTree

# Decimation spends triangles where the surface is large and curved. Seen through these scales, hands, feet and head
# shrink about their joints, so that the trunk gets its share.
SHRINK = {"wrist": 0.72, "ankle": 0.72, "head": 0.85}
RAYS = 96  # directions from which a triangle must be seen to count as outside
MIDDLE = 1e-3  # metres from the plane x = 0 within which a vertex lies on it
EYE_OFFSET = 0.015  # openings further than this from x = 0 are eyes, the one on it is the mouth


@dataclass(frozen=True)
class Surface:
    """The final triangles, and each final vertex as a weighted mean of source points."""

    faces: np.ndarray  # [F, 3] int
    sampling: sparse.csr_matrix  # [V, n]
    mirror: np.ndarray  # [V] the vertex on the other side

    def resample(self, values: np.ndarray) -> np.ndarray:
        """Values [n, c] given at the source points, at the vertices [V, c]."""
        return self.sampling @ values

    def resample_points(self, points: np.ndarray) -> np.ndarray:
        """Vertices [V, 3] from source points [n, 3], exactly symmetric."""
        vertices = self.sampling @ points
        return (vertices + vertices[self.mirror] * [-1, 1, 1]) / 2


def outer_faces(points: np.ndarray, skin: np.ndarray, eyes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The triangles of `skin` that are seen from outside: no mouth cavity, no eye sockets."""
    everything = trimesh.Trimesh(points, np.concatenate([skin, eyes]), process=False)
    surface = trimesh.Trimesh(points, skin, process=False)
    seen = np.zeros(len(skin), bool)
    directions = rng.normal(size=(RAYS, 3))
    for direction in directions / np.linalg.norm(directions, axis=1, keepdims=True):
        facing = np.flatnonzero((surface.face_normals @ direction > 0.05) & ~seen)
        origins = surface.triangles_center[facing] + 2e-4 * surface.face_normals[facing]
        seen[facing] = ~everything.ray.intersects_any(origins, np.broadcast_to(direction, origins.shape))
    # A triangle between seen ones closes a pinhole.
    touched = np.zeros(len(points), bool)
    touched[skin[seen]] = True
    kept = skin[seen | touched[skin].all(axis=1)]
    parts = trimesh.graph.connected_components(
        trimesh.Trimesh(points, kept, process=False).face_adjacency, nodes=np.arange(len(kept))
    )
    return kept[np.sort(max(parts, key=len))]


def shrink_details(points: np.ndarray, shares: dict[str, np.ndarray], centres: dict[str, np.ndarray]) -> np.ndarray:
    """Points with hands, feet and head scaled about their joints; shares [n] are a point's membership in each."""
    moved = points.copy()
    for part, share in shares.items():
        scale = SHRINK[part.removeprefix("left_").removeprefix("right_")]
        moved += share[:, None] * (scale - 1) * (points - centres[part])
    return moved


def simplify(points: np.ndarray, skin: np.ndarray, eyes: np.ndarray, vertices: int) -> Surface:
    """Decimates the left half of `skin` to about half of `vertices`, mirror it, and close eyes and mouth."""
    half_points, half_faces = _left_half(points, skin)
    left, left_faces = _decimate(half_points, half_faces, vertices)
    on_seam = np.abs(left[:, 0]) < 1e-5
    left[on_seam, 0] = 0
    twin = np.arange(len(left))
    twin[~on_seam] = len(left) + np.arange(np.count_nonzero(~on_seam))
    corners = np.concatenate([left, left[~on_seam] * [-1, 1, 1]])
    faces = np.concatenate([left_faces, twin[left_faces][:, ::-1]]).astype(np.int64)
    mirror = np.concatenate([twin, np.flatnonzero(~on_seam)])

    rows = [_closest(points, skin, corners)]
    count = len(corners)
    caps: list[tuple[float, int]] = []
    for loop in boundary_loops(faces):
        centre = corners[loop].mean(axis=0)
        if abs(centre[0]) > EYE_OFFSET:
            eyeball = np.unique(eyes)
            eyeball = eyeball[np.sign(points[eyeball, 0]) == np.sign(centre[0])]
            front = eyeball[np.argmax(points[eyeball, 2])]
            rows.append(sparse.csr_matrix(([1.0], ([0], [front])), shape=(1, len(points))))
        else:
            rows.append(sparse.csr_matrix(rows[0][loop].mean(axis=0)))
        fan = [(loop[i], loop[(i + 1) % len(loop)], count) for i in range(len(loop))]
        faces = np.concatenate([faces, np.array(fan)])
        caps.append((centre[0], count))
        count += 1
    mirror = np.concatenate([mirror, [_cap_twin(x, caps) for x, _ in caps]]).astype(np.int64)
    return Surface(faces.astype(np.int32), sparse.vstack(rows).tocsr(), mirror)


def boundary_loops(faces: np.ndarray) -> list[list[int]]:
    """The open borders of a mesh, each as vertices in the order in which a closing fan winds."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()
    known = {tuple(edge) for edge in edges}
    following = {b: a for a, b in known if (b, a) not in known}
    loops = []
    while following:
        start = min(following)
        loop, vertex = [start], following.pop(start)
        while vertex != start:
            loop.append(vertex)
            vertex = following.pop(vertex)
        loops.append(loop)
    return loops


def _cap_twin(x: float, caps: list[tuple[float, int]]) -> int:
    return min(caps, key=lambda cap: abs(cap[0] + x))[1]


def _left_half(points: np.ndarray, skin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    faces = skin[np.all(points[skin][:, :, 0] > -MIDDLE, axis=1)]
    used, faces = np.unique(faces, return_inverse=True)
    half = points[used].copy()
    half[np.abs(half[:, 0]) < MIDDLE, 0] = 0
    return half, faces.reshape(-1, 3)


def _decimate(points: np.ndarray, faces: np.ndarray, vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """Searches the reduction that leaves at most `vertices` once mirrored, by bisection."""
    low, high = 0.0, 0.97
    for _ in range(14):
        reduction = (low + high) / 2
        kept, triangles = fast_simplification.simplify(
            points.astype(np.float32), faces.astype(np.int32), reduction, agg=3
        )
        mirrored = 2 * len(kept) - np.count_nonzero(np.abs(kept[:, 0]) < 1e-5)
        low, high = (reduction, high) if mirrored > vertices else (low, reduction)
    corners = triangles[:, [1, 2, 0]]
    return kept.astype(np.float64), triangles[np.all(triangles != corners, axis=1)]


def _closest(points: np.ndarray, faces: np.ndarray, queries: np.ndarray) -> sparse.csr_matrix:
    """[queries, points]: barycentric coordinates of the closest point on the mesh."""
    mesh = trimesh.Trimesh(points, faces, process=False)
    closest, _, triangle = trimesh.proximity.closest_point(mesh, queries)
    bary = np.clip(trimesh.triangles.points_to_barycentric(mesh.triangles[triangle], closest), 0, 1)
    bary /= bary.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(len(queries)), 3)
    return sparse.csr_matrix((bary.ravel(), (rows, faces[triangle].ravel())), shape=(len(queries), len(points)))


def nearest_vertex(vertices: np.ndarray, point: np.ndarray) -> int:
    """Index of the vertex closest to a point."""
    return int(cKDTree(vertices).query(point)[1])
