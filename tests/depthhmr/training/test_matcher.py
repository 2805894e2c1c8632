"""Hungarian matching: near beats far, nobody is matched across the picture."""

import torch

from depthhmr.training.matcher import match


def run(
    uv: list[list[float]], depth: list[float], true_uv: list[list[float]], true_depth: list[float], **kw: torch.Tensor
):
    people = len(true_uv)
    return match(
        torch.zeros(1, len(uv)), torch.tensor([uv]).float(), torch.tensor([depth]).log(), torch.tensor([true_uv]).float(),
        torch.tensor([true_depth]).log(), torch.full((1, people), 30.0), kw.get("valid", torch.ones(1, people, dtype=torch.bool)),
    )[0].tolist()  # fmt: skip


def test_each_person_gets_the_nearest_query() -> None:
    assert run([[10, 10], [50, 50], [52, 50]], [3, 3, 3], [[51.5, 50], [10, 11]], [3, 3]) == [1, -1, 0]


def test_depth_decides_between_people_who_overlap() -> None:
    assert run([[50, 50], [50, 50]], [3.0, 5.0], [[50, 50], [50, 50]], [5.0, 3.0]) == [1, 0]


def test_a_query_out_of_reach_is_not_matched() -> None:
    assert run([[100, 10]], [3], [[10, 10]], [3]) == [-1]


def test_people_who_do_not_count_are_not_matched() -> None:
    valid = torch.tensor([[False]])
    assert run([[10, 10]], [3], [[10, 10]], [3], valid=valid) == [-1]


def test_an_image_without_people_matches_nothing() -> None:
    nobody = torch.zeros(1, 0)
    person = match(
        torch.zeros(1, 3), torch.zeros(1, 3, 2), torch.zeros(1, 3), torch.zeros(1, 0, 2), nobody, nobody, nobody.bool()
    )
    assert person.tolist() == [[-1, -1, -1]]
