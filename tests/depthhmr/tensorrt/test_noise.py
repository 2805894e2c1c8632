"""What noise in the pictures does to the shipped network: the limits of the comparison come from there."""

from depthhmr.tensorrt.noise import noise


def test_a_grey_level_in_a_hundredth_of_the_values_changes_every_answer_a_little(shipped):
    manifest, content = shipped

    found = noise(content, manifest, 8)

    assert found.people > 10 and not found.not_finite
    for item in found.differences:
        assert 0 < item.median < item.limit.limit, item
