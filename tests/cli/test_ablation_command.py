"""`depthhmr ablation` says what is wrong with a plan, and makes its page again out of finished results."""

import json

import pytest

pytest.importorskip("torch", reason="the ablation trains networks")

from depthhmr.ablation.ablation_page import CLASSES
from depthhmr.ablation.variants import VARIANTS
from depthhmr_cli.main import main


def finished(folder, variant, seed):
    scores = {"f1": 0.6 + 0.01 * seed, "root_median": 0.4, "pcdr": 0.5, "mpjpe": 200.0, "pa_mpjpe": 100.0}
    row = {"people": 3, "recall": 0.5, "root_median": 0.6}
    scores["splits"] = {split: [{"name": name, **row} for name in names] for split, names in CLASSES.items()}
    result = {"variant": variant.name, "seed": seed, "parameters": 10**6, "scores": scores, "everyone": scores}
    target = folder / f"{variant.name}-{seed}"
    target.mkdir(parents=True)
    (target / "result.json").write_text(json.dumps(result))


@pytest.mark.slow
def test_the_page_is_made_of_finished_results(tmp_path, capsys):
    for seed in range(2):
        for variant in VARIANTS:
            finished(tmp_path, variant, seed)

    assert main(["ablation", "--run", str(tmp_path), "--budget", "64", "--seeds", "2"]) == 0

    assert "full, seed 1: F1 0.610, root, m 0.400" in capsys.readouterr().out
    page = (tmp_path / "ablation.md").read_text()
    assert "depthhmr ablation --run" in page and "| a. RGB only | 1.000 | 2 | 0.605 ± 0.007 |" in page
    assert len(json.loads((tmp_path / "ablation.json").read_text())) == 2 * len(VARIANTS)
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "plan.json").read_text())["budget"] == 64


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--network", "huge"], "half, tiny, got 'huge'"),
        (["--size", "100"], "a multiple of 16 and at least 64, got 100"),
        (["--seeds", "0"], "seeds of at least 1, got 0"),
        (["--lifter", "missing.pt"], "a trained lifter at missing.pt"),
    ],
)
def test_what_is_wrong_with_a_plan_is_said(wrong, said, tmp_path, capsys):
    assert main(["ablation", "--run", str(tmp_path), *wrong]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
