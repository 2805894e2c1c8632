"""Relative Human's PCDR0.2 on people placed by hand."""

import numpy as np
import pytest

from bodykit.errors import UserError
from depthhmr.benchmarks.relative_human import LayerPrediction, LayerTruth, layer_figures, layer_ranking, measure_layers
from depthhmr.data.relative_human import AGES

ADULT, TEEN, KID, BABY = range(4)


def scores_of(pictures):
    return layer_figures(measure_layers(pictures))


def joints(*places: float) -> np.ndarray:
    """14 joints for each place (x in pixels), boxes of 100 x 100."""
    corners = np.repeat([[0, 0], [100, 100]], 7, axis=0)
    return np.array([corners + [x, 0] for x in places], float).reshape(len(places), 14, 2)


def picture(depths, layers, ages=None, missed: int = 0, genders=None) -> tuple[LayerPrediction, LayerTruth]:
    """People 300 pixels apart; the last `missed` of them have no prediction (nor a depth)."""
    places = [300.0 * i for i in range(len(layers))]
    truth = LayerTruth(
        joints(*places),
        np.array(layers),
        np.array([ADULT] * len(layers) if ages is None else ages),
        np.array([-1] * len(layers) if genders is None else genders),
    )
    return LayerPrediction(joints(*places[: len(layers) - missed]), np.array(depths, float)), truth


@pytest.mark.parametrize(
    ("depths", "layers", "right"),
    [
        ([3.0, 5.0], [0, 1], True),
        ([5.0, 3.0], [0, 1], False),  # the wrong way round
        ([3.0, 3.15], [0, 1], False),  # nearer than 0.2 m to each other: no order
        ([3.0, 3.15], [2, 2], True),
        ([3.0, 3.0], [2, 2], True),  # equal depths
        ([3.0, 3.0], [0, 1], False),
        ([3.0, 3.25], [2, 2], False),
        ([3.25, 3.0], [5, 1], True),  # layers need not follow each other
        ([0.0, 0.2], [1, 1], False),  # exactly 0.2 m is neither one layer ...
        ([0.0, 0.2], [0, 1], False),  # ... nor two
        ([-1.0, 4.0], [0, 1], True),  # a person behind the camera is simply nearer
    ],
)
def test_a_pair_of_people(depths, layers, right):
    scores = scores_of([picture(depths, layers)])

    assert scores.pcdr == float(right)
    kind = "equal" if layers[0] == layers[1] else "farther" if layers[1] > layers[0] else "closer"
    assert scores.correct[kind] == (int(right), 1) and sum(pairs for _, pairs in scores.correct.values()) == 1


def test_every_person_missed_costs_three_tenths_of_a_pair():
    scores = scores_of([picture([3.0, 5.0], [0, 1, 2], missed=1)])  # one right pair, one missed

    assert scores.pcdr == pytest.approx(1 / 1.3)
    assert (scores.people, scores.found, scores.false) == (3, 2, 0)


def test_a_picture_without_any_prediction_costs_all_its_people():
    scores = scores_of([picture([3.0, 5.0], [0, 1]), picture([], [0, 1], missed=2)])

    assert scores.pcdr == pytest.approx(1 / 1.6)


def test_people_of_unknown_layer_make_no_pair_but_may_be_missed():
    scores = scores_of([picture([3.0, 4.0, 5.0], [0, -1, 1]), picture([3.0], [-1, -1], missed=1)])

    assert scores.pcdr == pytest.approx(1 / 1.3) and scores.correct["farther"] == (1, 1)


def test_an_age_has_the_pairs_that_it_takes_part_in_and_its_own_misses():
    # depths in the order of layers for adult-kid and kid-kid, the adult-baby pair wrong; one kid missed
    layers, depths = [0, 1, 2, 0], [2.0, 3.0, 4.0, 9.0]
    scores = scores_of(
        [picture(depths, layers, ages=[ADULT, KID, KID, BABY]), picture([3.0], [0, 1], ages=[ADULT, KID], missed=1)]
    )

    # pairs: adult-kid, adult-kid, kid-kid right; adult-baby equal layer but 7 m apart, baby-kid twice: wrong
    assert scores.pcdr == pytest.approx(3 / 6.3)
    assert scores.pcdr_by_age["adult"] == pytest.approx(2 / 3)
    assert scores.pcdr_by_age["kid"] == pytest.approx(3 / 5.3)
    assert scores.pcdr_by_age["baby"] == 0 and scores.pcdr_by_age["teen"] is None
    assert tuple(scores.pcdr_by_age) == AGES


def test_layers_between_the_two_of_a_pair_ages_and_genders_split_the_share():
    # four in order of depth but for the last, who is predicted in front of everybody; her three pairs are wrong
    first = picture([3.0, 4.0, 5.0, 2.0], [0, 1, 1, 4], ages=[ADULT, KID, KID, TEEN], genders=[0, 1, -1, 1])
    second = picture([3.0], [0, 1], ages=[KID, KID], missed=1, genders=[0, 0])  # one child missed, and no pair

    splits = scores_of([first, second]).splits

    layers = [(row.name, row.people, row.pairs, row.right) for row in splits["layers"]]
    assert layers == [  # 1-1 wrong: they are 1 m apart
        ("one layer", None, 1, 0), ("1 layer apart", None, 2, 2), ("2 layers apart", None, 0, 0), ("3 and more", None, 3, 0),
    ]  # fmt: skip
    kid = splits["age"][KID]
    assert (kid.people, kid.recall, kid.pairs, kid.right) == (4, 0.75, 5, 2) and kid.pcdr == pytest.approx(2 / 5.3)
    male, female = splits["gender"]
    assert (male.people, male.pairs, male.right, male.pcdr) == (3, 3, 2, pytest.approx(2 / 3.3))
    assert (female.name, female.people, female.recall, female.pairs, female.right) == ("female", 2, 1, 5, 1)


def test_a_class_that_nobody_is_labelled_for_is_no_split():
    scores = scores_of([picture([3.0, 4.0], [0, 1], ages=[-1, -1])])

    assert set(scores.splits) == {"layers"} and scores.splits["layers"][1].pcdr == 1


def test_pictures_are_ranked_by_their_wrong_pairs_and_missed_people_then_by_joints():
    off = picture([3.0, 5.0], [0, 1])
    off[0].joints_2d[0, 0] += (50, 0)  # one of 14 joints of one of two people

    scored = measure_layers(
        [
            picture([3.0, 5.0], [0, 1]),
            off,
            picture([5.0, 3.0], [0, 1]),
            picture([3.0], [0, 1], missed=1),
            picture([3.0], [0]),  # nothing to judge
        ]
    )

    assert layer_ranking(scored) == pytest.approx([0, 0.01 / 28, 1, 1, np.nan], nan_ok=True)


def test_a_pair_of_two_of_one_age_counts_once():
    assert scores_of([picture([3.0, 5.0], [0, 1], ages=[TEEN, TEEN])]).pcdr_by_age["teen"] == 1


def test_without_a_pair_there_is_no_share():
    alone = scores_of([picture([3.0], [0])])

    assert np.isnan(alone.pcdr) and alone.found == 1
    nothing = scores_of([])
    assert np.isnan(nothing.pcdr) and np.isnan(nothing.mpckh) and nothing.people == 0


def test_swapped_depths_of_found_people_are_wrong_everywhere():
    scores = scores_of([picture([6.0, 4.0, 2.0], [0, 1, 2])])

    assert scores.pcdr == 0 and scores.correct["farther"] == (0, 3)


@pytest.mark.parametrize(("shift", "found"), [(91, 1), (92, 0)])
def test_the_floor_of_relative_human_is_a_twentieth(shift, found):
    # boxes of 101 x 101 pixels: 10 columns shared of 192 are 0.052, 9 of 193 are 0.047
    _, truth = picture([3.0], [0])

    assert scores_of([(LayerPrediction(joints(shift), np.array([3.0])), truth)]).found == found


def test_false_people_cost_nothing():
    predicted, truth = picture([3.0, 5.0], [0, 1])
    more = LayerPrediction(np.concatenate([predicted.joints_2d, joints(5000)]), np.array([3.0, 5.0, 4.0]))

    scores = scores_of([(more, truth)])

    assert scores.pcdr == 1 and scores.false == 1


def test_joints_within_a_head_of_their_label_count_for_mpckh():
    predicted, truth = picture([3.0], [0])
    # the diagonal is 141.4 pixels, a head 20.2
    predicted.joints_2d[0, 0] += (20.0, 0)
    predicted.joints_2d[0, 1] += (20.5, 0)
    truth.joints_2d[0, 2] = np.nan  # of 13 labelled joints one is wrong

    assert scores_of([(predicted, truth)]).mpckh == pytest.approx(12 / 13)


def test_truth_without_labels_or_flags_is_refused():
    with pytest.raises(UserError, match="at least one labelled joint"):
        LayerTruth(np.full((1, 14, 2), np.nan), *[np.zeros(1, int)] * 3)
    with pytest.raises(UserError, match="for each of 1 people, got 2, 1 and 1"):
        LayerTruth(joints(0), np.zeros(2, int), np.zeros(1, int), np.zeros(1, int))
