"""The ablation trains, scores, resumes and tells; its verdicts are what the differences say."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bodykit.errors import UserError
from depthhmr.ablation.ablation import Plan, even_threshold, results, run_all, write_plan
from depthhmr.ablation.ablation_page import MEASURES, difference, spread, tables, values
from depthhmr.ablation.variants import CLAIMS, NETWORKS, VARIANTS, AblationClaim
from depthhmr.network.config import preset
from depthhmr.network.model import build_model

SMALL = preset(
    "tiny", size=64, backbone="conv", conv_widths=(8, 8, 8, 16), dim=16, map_dim=8, fine_dim=8, window_dim=8, window_cells=8,
    heads=2, lifter_width=32, lifter_blocks=1, queries=4,
)  # fmt: skip
F1, ROOT = MEASURES[0], MEASURES[1]


def made(variant: str, seed: int, f1: float, root: float | None = 0.5) -> dict:
    row = {"people": 5, "recall": f1, "root_median": root}
    names = {
        "distance": ["under 3 m", "3 to 5 m", "5 to 8 m", "over 8 m"],
        "visible": ["under 60 %", "60 to 90 %", "over 90 %"],
        "height": ["under 0.4", "0.4 to 0.7", "over 0.7"],
    }
    splits = {split: [{"name": name, **row} for name in rows] for split, rows in names.items()}
    scores = {"f1": f1, "root_median": root, "pcdr": 0.5, "mpjpe": 200.0, "pa_mpjpe": None, "splits": splits}
    return {"variant": variant, "seed": seed, "parameters": 750_000, "scores": scores, "everyone": scores}


def test_each_variant_differs_from_the_full_network_and_builds() -> None:
    full = replace(NETWORKS["half"], size=96)
    assert {variant.name for variant in VARIANTS} >= {name for claim in CLAIMS for name in (claim.better, claim.worse)}
    made = {(variant.model(full), variant.depth_target) for variant in VARIANTS}
    assert len(made) == len(VARIANTS)
    sizes = [sum(p.numel() for p in build_model(variant.model(full)).parameters()) for variant in VARIANTS]
    assert sizes[0] < sizes[1] < max(sizes)


@pytest.mark.slow
def test_an_ablation_is_cut_and_goes_on_to_the_same_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthhmr.ablation.ablation.SHARD", 8)
    monkeypatch.setattr("depthhmr.ablation.ablation.CHOSEN_ON", 10)
    monkeypatch.setattr("depthhmr.ablation.ablation.VARIANTS", (VARIANTS[0], VARIANTS[2]))
    torch.save({"lifter": build_model(SMALL).lifter.state_dict()}, tmp_path / "lifter.pt")
    plan = Plan(
        folder=tmp_path / "run", network=SMALL, budget=32, seeds=1, shards=2, held_out=4, lifter=tmp_path / "lifter.pt"
    )  # fmt: skip
    first = next(run_all(plan))
    assert first["variant"] == "rgb" and first["images"] == 32
    before = (plan.folder / "rgb-0" / "result.json").stat().st_mtime_ns

    assert [row["variant"] for row in run_all(plan)] == ["rgb", "scene"]
    assert (plan.folder / "rgb-0" / "result.json").stat().st_mtime_ns == before
    text = tables(results(plan))
    assert "a. RGB only" in text and "c'. b + depth of the whole scene" in text and "3 to 5 m" in text
    run = json.loads((plan.folder / "scene-0" / "run.json").read_text())
    assert run["train"]["depth_target"] == "scene" and not run["model"]["guided_queries"]


def test_another_plan_in_the_same_folder_is_refused_but_more_seeds_are_welcome(tmp_path: Path) -> None:
    plan = Plan(folder=tmp_path, network=SMALL, budget=32)
    write_plan(plan)
    write_plan(replace(plan, seeds=5))
    with pytest.raises(UserError, match="budget"):
        write_plan(replace(plan, budget=64))
    with pytest.raises(UserError, match="network"):
        write_plan(replace(plan, network=replace(SMALL, dim=32)))


@pytest.mark.parametrize("wrong", [{"budget": 0}, {"seeds": 0}, {"lifter": Path("nowhere.pt")}])
def test_a_plan_that_cannot_run_is_refused(wrong: dict, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected .*(at least 1|nowhere\.pt)"):
        Plan(**{"folder": tmp_path, "network": SMALL, "budget": 32} | wrong)


def test_the_threshold_is_where_misses_and_false_people_are_as_many() -> None:
    rows = [(0.1, 0.3, 0.9, 0.45), (0.2, 0.6, 0.6, 0.6), (0.3, 0.8, 0.2, 0.32), (0.4, 0.0, 0.0, 0.0)]
    assert even_threshold(rows) == 0.2  # not 0.4, where both are nothing
    assert even_threshold(rows[:1]) == 0.1


def test_a_claim_is_judged_by_differences_of_the_same_seed() -> None:
    claim = AblationClaim("x", "full", "rgb")
    clear = [made("rgb", seed, 0.5 + 0.1 * seed) for seed in range(3)]
    clear += [made("full", seed, 0.6 + 0.1 * seed + 0.001 * seed) for seed in range(3)]
    found = difference(clear, claim, F1)
    assert found is not None and found.mean == pytest.approx(0.101)
    # Student's t for two degrees of freedom is 4.303
    assert found.half_width == pytest.approx(4.303 * 0.001 / 3**0.5, rel=1e-3) and found.verdict == "yes"
    assert difference(clear, AblationClaim("x", "rgb", "full"), F1).verdict == "no, the opposite"
    noise = [made("rgb", seed, 0.5) for seed in range(3)]
    noise += [made("full", seed, f1) for seed, f1 in enumerate((0.51, 0.7, 0.52))]
    assert difference(noise, claim, F1).verdict == "within noise"


def test_two_seeds_prove_nothing_however_well_they_agree() -> None:
    rows = [made(name, seed, f1) for name, f1 in (("rgb", 0.5), ("full", 0.6)) for seed in range(2)]
    found = difference(rows, AblationClaim("x", "full", "rgb"), F1)
    assert found is not None and found.half_width == pytest.approx(0, abs=1e-9) and found.verdict == "too few seeds"


def test_less_is_better_for_distances() -> None:
    rows = [made("rgb", 0, 0.5, root=0.8), made("full", 0, 0.5, root=0.6)]
    found = difference(rows, AblationClaim("x", "full", "rgb"), ROOT)
    assert found is not None and found.mean == pytest.approx(0.2)
    assert "+0.200: too few seeds" in tables(rows)


def test_a_figure_that_nobody_has_is_a_dash() -> None:
    rows = [made("rgb", 0, 0.0, root=None)]
    assert values(rows, "rgb", ROOT) == {} and spread([], 2) == "–" and "–" in tables(rows)
    assert difference(rows, AblationClaim("x", "full", "rgb"), ROOT) is None
    assert spread([1.0, 3.0], 1) == "2.0 ± 1.4"
