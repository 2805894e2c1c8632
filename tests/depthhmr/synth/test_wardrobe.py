from dataclasses import replace

import numpy as np

from bodykit.body import load_body
from bodykit.skinning import pose_vertices
from depthhmr.synth.clothing import part_of_vertex
from depthhmr.synth.scene import Generator
from depthhmr.synth.silhouette import coarse_faces
from depthhmr.synth.wardrobe import BODY, HEIGHTS, SKIRT, dress


def test_dressing_leaves_the_body_itself_alone() -> None:
    body = load_body()
    wardrobe = dress(body)
    betas, rotations = np.ones((1, 10), np.float32), np.tile(np.eye(3, dtype=np.float32), (1, 24, 1, 1))

    bare, _ = pose_vertices(body, betas, rotations, np.zeros((1, 3)))
    dressed, _ = pose_vertices(wardrobe.body, betas, rotations, np.zeros((1, 3)))

    np.testing.assert_array_equal(dressed[:, : len(body.template)], bare)


def test_a_skirt_surrounds_the_hips() -> None:
    wardrobe = dress(load_body())
    skirt = wardrobe.body.template[part_of_vertex(wardrobe) == SKIRT]
    body = wardrobe.body.template[: wardrobe.bare_vertices]

    hips = body[(np.abs(body[:, 1] + 0.1) < 0.03) & (np.abs(body[:, 0]) < 0.3)]
    level = skirt[np.abs(skirt[:, 1] + 0.1) < 0.06]
    assert np.abs(level[:, 0]).max() > np.abs(hips[:, 0]).max()
    assert level[:, 2].max() > hips[:, 2].max() - 0.02


def test_rest_coordinates_put_landmarks_at_fixed_heights_on_any_body() -> None:
    body = load_body()
    taller = replace(
        body, template=body.template * np.float32([1, 1.2, 1]), joint_template=body.joint_template * [1, 1.2, 1]
    )

    for one in (body, taller):
        rest = dress(one).rest[: len(body.template)]
        assert abs(rest[:, 1].max() - HEIGHTS[-1]) < 1e-4
        assert abs(rest[:, 1].min() - HEIGHTS[0]) < 1e-4


def test_coarse_faces_are_few_and_use_the_same_vertices() -> None:
    body = load_body()

    coarse = coarse_faces(body.template, body.faces)

    assert len(coarse) < 0.3 * len(body.faces)
    assert coarse.max() < len(body.template)
    # what is left still spans the body
    np.testing.assert_allclose(np.ptp(body.template[coarse.ravel()], axis=0), np.ptp(body.template, axis=0), atol=0.05)


def test_any_body_of_the_format_can_be_dressed_and_drawn() -> None:
    body = load_body()
    nameless = replace(body, vertex_ids={})

    sample = Generator(nameless, 64).sample(2)

    assert sample.rgb.shape == (64, 64, 3)
    assert dress(nameless).part_of_face[0] == BODY
