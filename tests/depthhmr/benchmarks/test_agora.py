"""AGORA's figures on people placed by hand."""

from dataclasses import astuple, replace

import numpy as np
import pytest

from bodykit.errors import UserError
from depthhmr.benchmarks.agora import AgoraFigures, AgoraTruth, agora_figures, measure_agora
from depthhmr.benchmarks.people import People, nothing_about
from depthhmr.benchmarks.records import ranking

NOBODY = np.zeros(0)


def scores_of(pictures, **options):
    return agora_figures(measure_agora(pictures, **options))


def people(*places: float, pixels: float = 0.0) -> People:
    """One person for each place (x in pixels), boxes of 100 x 100; joints and 30 vertices about the origin."""
    count = len(places)
    corners = np.repeat([[0, 0], [100, 100]], 12, axis=0)
    joints_2d = np.array([corners + [x + pixels, 0] for x in places], float).reshape(count, 24, 2)
    rng = np.random.default_rng(0)
    joints, vertices = rng.normal(size=(24, 3)), rng.normal(size=(30, 3))
    return People(joints_2d, np.tile(joints, (count, 1, 1)), np.tile(vertices, (count, 1, 1)))


def truth(*places: float, occlusion=None, kid=None) -> AgoraTruth:
    count = len(places)
    return AgoraTruth(
        people(*places),
        np.zeros(count) if occlusion is None else np.array(occlusion, float),
        np.zeros(count, bool) if kid is None else np.array(kid, bool),
    )


def moved(who: People, *, joints: dict[int, tuple] | None = None, vertices: dict[int, tuple] | None = None) -> People:
    """The same people with some joints and vertices of everybody shifted, metres."""
    joints_3d, mesh = who.joints_3d.copy(), who.vertices.copy()
    for array, shifts in ((joints_3d, joints or {}), (mesh, vertices or {})):
        for index, shift in shifts.items():
            array[:, index] += shift
    return People(who.joints_2d, joints_3d, mesh)


def test_the_truth_scores_perfectly():
    scores = scores_of([(people(0, 300), truth(0, 300))])

    assert astuple(scores.published) == (1, 1, 1, 0, 0, 0, 0)
    assert scores.counts == {
        "images": 1, "people": 2, "ignored": 0, "found": 2, "missed": 0, "false": 0, "kids": 0,
        "without_error": 0,
    }  # fmt: skip


def test_the_body_is_aligned_by_the_middle_of_its_hips_not_by_its_pelvis_joint():
    pelvis_off = moved(people(0), joints={0: (0.024, 0, 0)})  # one joint of 24 by 24 mm
    hip_off = moved(people(0), joints={1: (0.024, 0, 0)})  # the middle of the hips by 12 mm: 23 joints and all vertices

    one = scores_of([(pelvis_off, truth(0))]).published
    other = scores_of([(hip_off, truth(0))]).exact

    assert (one.mpjpe, one.mve) == pytest.approx((1.0, 0.0))
    assert (other.mpjpe, other.mve) == pytest.approx((12.0, 12.0))  # the moved hip is then 12 mm off, too


def test_vertices_may_be_restricted_to_those_of_the_body():
    off = moved(people(0), vertices={3: (0, 0.030, 0), 4: (0, 0, 0.060)})

    assert scores_of([(off, truth(0))]).published.mve == pytest.approx(3.0)  # 90 mm over 30 vertices
    assert scores_of([(off, truth(0))], body_vertices=np.array([3, 5, 7])).published.mve == pytest.approx(10.0)


def test_a_translation_costs_nothing():
    who = people(0)
    away = People(who.joints_2d, who.joints_3d + 5, who.vertices + 5)

    assert scores_of([(away, truth(0))]).exact.mve == pytest.approx(0, abs=1e-9)


def test_normalised_errors_come_from_rounded_errors_and_a_rounded_f1():
    off = moved(people(0), joints={0: (1.44144, 0, 0)}, vertices={0: (1.8018, 0, 0)})  # 60.06 mm each on average

    scores = scores_of([(off, truth(0, 300))])  # one found, one missed: F1 = 1 / 1.5

    assert scores.exact.f1 == pytest.approx(2 / 3) and scores.exact.nmje == pytest.approx(60.06 / (2 / 3))
    assert scores.published.f1 == 0.67 and scores.published.mpjpe == 60.1
    assert scores.published.nmje == scores.published.nmve == 89.7  # 60.1 / 0.67, where the exact value is 90.1


def test_errors_are_means_over_people_not_over_pictures():
    off = moved(people(0), joints={0: (0.24, 0, 0)})  # 10 mm

    scores = scores_of([(off, truth(0)), (people(0, 300), truth(0, 300))])

    assert scores.exact.mpjpe == pytest.approx(10 / 3)


def test_precision_recall_and_f1_count_over_all_pictures():
    pictures = [(people(0, 300), truth(0)), (people(0), truth(0, 300)), (people(), truth(0))]

    scores = scores_of(pictures)  # found 2, false 1, missed 2

    assert astuple(scores.published)[:3] == (0.67, 0.5, 0.57)
    assert scores.exact.f1 == pytest.approx(2 / 3.5)


def test_everybody_missed_leaves_no_error_and_no_normalised_error():
    nothing = scores_of([(people(), truth(0, 300))])
    elsewhere = scores_of([(people(2000), truth(0))])

    for scores in (nothing, elsewhere):
        assert astuple(scores.published)[:3] == (0, 0, 0)
        assert np.isnan(astuple(scores.published)[3:]).all()
    assert elsewhere.counts["false"] == 1 and nothing.counts["false"] == 0


def test_nobody_at_all_scores_zero():
    assert astuple(scores_of([]).published)[:3] == (0, 0, 0)
    assert astuple(scores_of([(people(0), truth())]).published)[:3] == (0, 0, 0)


@pytest.mark.parametrize(("occlusion", "found"), [(0, 1), (90, 1), (90.1, 0), (100, 0), (-1, 0)])
def test_a_valid_person_hidden_by_more_than_90_percent_is_always_missed(occlusion, found):
    counts = scores_of([(people(0), truth(0, occlusion=[occlusion]))]).counts

    assert (counts["people"], counts["ignored"]) == (1, 0)
    assert (counts["found"], counts["missed"], counts["false"]) == (found, 1 - found, 1 - found)


def test_a_hidden_person_who_is_not_valid_is_no_miss():
    who = AgoraTruth(people(0, 300), np.array([95.0, 0.0]), np.zeros(2, bool), scored=np.array([False, True]))

    counts = scores_of([(people(300), who)]).counts

    assert (counts["people"], counts["ignored"], counts["found"], counts["missed"]) == (1, 1, 1, 0)


def test_a_person_who_is_not_valid_does_not_count_however_little_is_hidden():
    who = AgoraTruth(people(0, 300), np.zeros(2), np.zeros(2, bool), scored=np.array([True, False]))

    scores = scores_of([(people(0), who)])

    assert (scores.counts["people"], scores.counts["ignored"], scores.published.f1) == (1, 1, 1)


def test_a_prediction_on_a_hidden_person_is_false():
    scores = scores_of([(people(0, 300), truth(0, 300, occlusion=[0, 95]))])

    assert (scores.counts["found"], scores.counts["missed"], scores.counts["false"]) == (1, 1, 1)
    assert scores.published.f1 == 0.5


def test_children_count_like_everybody_and_have_figures_of_their_own():
    off = moved(people(0, 600), joints={0: (0.24, 0, 0)})  # 10 mm, both

    scores = scores_of([(off, truth(0, 300, kid=[True, False]))])  # the child found, the adult missed, one false

    assert scores.counts["people"] == 2 and scores.published.f1 == 0.5
    assert scores.kids == AgoraFigures(0.5, 1.0, 0.67, 10.0, 0.0, 14.9, 0.0)  # all false people count against them
    assert scores_of([(people(0), truth(0))]).kids is None


def test_the_table_by_occlusion_has_closed_upper_ends():
    scores = scores_of([(people(0, 300), truth(0, 300, 600, occlusion=[10, 10.5, 90]))])

    rows = scores.splits["occlusion"]
    assert [(row.name, row.people) for row in rows if row.people] == [
        ("0 to 10 %", 1), ("10 to 20 %", 1), ("80 to 90 %", 1),
    ]  # fmt: skip
    assert [row.recall for row in rows if row.people] == [1, 1, 0]
    assert np.isnan(rows[4].recall) and np.isnan(rows[8].mpjpe)


@pytest.mark.parametrize(("shift", "found"), [(81, 1), (84, 0)])
def test_the_floor_of_agora_is_a_tenth(shift, found):
    # boxes of 101 x 101 pixels: 20 columns shared of 182 are 0.11, 17 of 185 are 0.09
    assert scores_of([(people(shift), truth(0))]).counts["found"] == found


def test_splits_by_distance_height_and_labels():
    who = truth(0, 300, 600, kid=[True, False, False])
    about = nothing_about(3)
    about["distance"], about["height"], about["gender"] = [2, 4, 9], [0.3, 0.5, 0.9], ["female", "male", ""]
    true = AgoraTruth(replace(who.people, about=about), who.occlusion, who.kid)
    off = moved(people(0, 300), joints={0: (0, 0, 0.24)}, vertices={0: (0.3, 0, 0)})  # 10 mm each, the root by 0.24 m

    splits = scores_of([(off, true)]).splits

    assert set(splits) == {"distance", "height", "occlusion", "kid", "gender"}
    near, middle, _, far = splits["distance"]
    assert (near.people, near.recall, near.mve, near.mpjpe, near.root_median) == pytest.approx((1, 1, 10, 10, 0.24))
    assert middle.people == 1 and (far.name, far.people, far.recall) == ("over 8 m", 1, 0) and np.isnan(far.mve)
    assert [row.people for row in splits["height"]] == [1, 1, 1]
    assert [(row.name, row.people, row.recall) for row in splits["kid"]] == [("adult", 2, 0.5), ("child", 1, 1)]
    assert [(row.name, row.people) for row in splits["gender"]] == [("female", 1), ("male", 1)]
    assert 0 < near.pa_mpjpe < 20


def test_pictures_are_ranked_by_errors_missed_and_false_people():
    exact, off = people(0), moved(people(0), vertices={0: (3.0, 0, 0)})  # 100 mm
    unknown = AgoraTruth(replace(people(0), posed=np.array([False])), np.zeros(1), np.ones(1, bool))

    scored = measure_agora(
        [(exact, truth(0)), (off, truth(0)), (people(), truth(0)), (people(0, 900), truth(0)), (exact, unknown)]
    )

    assert ranking(scored) == pytest.approx([0, 0.1, 0.4, 0.2, np.nan], nan_ok=True)
    assert np.isnan(scored.people["mve"][-1]) and scored.people["query"][-1] == 0


def test_meshes_of_another_body_are_refused():
    who = people(0)

    with pytest.raises(UserError, match="expected 30 vertices as in the truth, got 29"):
        scores_of([(People(who.joints_2d, who.joints_3d, who.vertices[:, 1:]), truth(0))])


def test_values_that_are_not_finite_are_refused():
    who = people(0, 300)
    joints = who.joints_2d.copy()
    joints[1, 5] = np.nan

    with pytest.raises(UserError, match="joints_2d must be finite, 1 are not"):
        People(joints, who.joints_3d, who.vertices)
    with pytest.raises(UserError, match=r"joints_3d must have shape \[2, N, 3\], got \[1, 24, 3\]"):
        People(who.joints_2d, who.joints_3d[:1], who.vertices)


def test_flags_for_everybody_are_asked_for():
    with pytest.raises(UserError, match="for each of 1 people, got 2 and 1"):
        AgoraTruth(people(0), np.zeros(2), np.zeros(1, bool))
