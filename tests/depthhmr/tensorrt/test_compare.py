"""Two engines' answers, person by person."""

import numpy as np
import pytest

from bodykit.errors import UserError
from depthhmr.tensorrt.compare import LIMITS, compare

PICTURES, QUERIES, PEOPLE = 20, 6, 3


@pytest.fixture
def answers() -> dict[str, np.ndarray]:
    """Three people and three nobodies in each of twenty pictures."""
    rng = np.random.default_rng(0)
    scores = np.full((PICTURES, QUERIES), 0.05, np.float32)
    scores[:, :PEOPLE] = 0.9 - 0.1 * np.arange(PEOPLE)
    corner = rng.uniform(0, 100, (PICTURES, QUERIES, 2)).astype(np.float32)
    return {
        "scores": scores,
        "rotations": np.tile(np.eye(3, dtype=np.float32), (PICTURES, QUERIES, 24, 1, 1)),
        "betas": np.zeros((PICTURES, QUERIES, 10), np.float32),
        "translation": rng.uniform(1, 5, (PICTURES, QUERIES, 3)).astype(np.float32),
        "boxes": np.concatenate([corner, corner + 40], -1),
        "depth": np.full((PICTURES, 5, 5), 3.0, np.float32),
    }


def test_the_same_answers_have_no_fault(answers):
    found = compare(answers, answers)

    assert found.faults() == [] and found.people == PICTURES * PEOPLE and found.strays == 0
    assert all(item.worst == 0 for item in found.differences)


def test_the_order_of_queries_does_not_matter(answers):
    turned = {name: values if name == "depth" else values[:, ::-1] for name, values in answers.items()}

    assert compare(answers, turned).faults() == []


def test_queries_that_are_nobody_do_not_count(answers):
    other = {**answers, "translation": answers["translation"].copy()}
    other["translation"][:, PEOPLE:] += 100

    assert compare(answers, other).faults() == []


def test_a_turned_joint_is_measured_in_degrees(answers):
    angle = np.radians(6)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]], np.float32)
    other = {**answers, "rotations": answers["rotations"].copy()}
    other["rotations"][:, :, 7] = turn

    found = compare(answers, other)

    assert found.differences[1].typical == pytest.approx(6, abs=1e-3)
    assert found.faults() == [
        "rotations (angle of the worst joint) differs by 6 degrees for 1 person in 20, 4 allowed (worst 6)"
    ]


@pytest.mark.parametrize(
    ("name", "change"), [("scores", -0.01), ("betas", 0.02), ("translation", 0.05), ("boxes", 2.0)]
)
def test_every_output_has_a_limit(answers, name, change):
    faults = compare(answers, {**answers, name: answers[name] + np.float32(change)}).faults()

    assert len(faults) == 1 and faults[0].startswith(f"{name} (")


def test_depth_is_compared_where_both_see_a_human_and_the_rest_is_counted(answers):
    other = {**answers, "depth": answers["depth"] + np.float32(0.1)}
    other["depth"][:, 0, 0] = 0

    faults = compare(answers, other).faults()

    assert [fault.split(" ")[0] for fault in faults] == ["depth", "4.00%"]


def test_a_nan_is_a_fault_even_where_nobody_looks(answers):
    other = {**answers, "betas": answers["betas"].copy()}
    other["betas"][4, PEOPLE] = np.nan

    assert compare(answers, other).faults() == ["betas is NaN or infinite in 1 of 20 pictures"]


@pytest.mark.parametrize(("strays", "fits"), [(2, True), (3, False)])
def test_two_people_in_a_hundred_may_be_decided_differently(answers, strays, fits):
    other = {**answers, "translation": answers["translation"].copy()}
    other["translation"][:strays, 0] += 1  # of 60 people

    found = compare(answers, other)

    assert found.strays == strays and found.strays_allowed == 2
    assert (found.faults() == []) is fits
    assert (
        found.differences[3].worst > 1
    ) is not fits  # too many are measured with the others, to say which output it is


def test_pictures_without_anybody_prove_nothing(answers):
    nobody = {**answers, "scores": np.zeros_like(answers["scores"])}

    with pytest.raises(UserError, match="finds nobody with a score above 0.3 in these 20 pictures"):
        compare(nobody, nobody)


def test_the_table_shows_every_output_with_its_unit_and_marks_what_is_too_far(answers):
    lines = compare(answers, {**answers, "boxes": answers["boxes"] + np.float32(2)}).table()

    assert [line.split()[0] for line in lines[1:7]] == [limit.output for limit in LIMITS]
    assert [line.endswith("px  TOO FAR") for line in lines].count(True) == 1
