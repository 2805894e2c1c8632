"""`depthhmr bench` runs and prints every row; the figures themselves are no test's business."""

import re
import shutil

import pytest

from bodykit.manifest import Manifest
from bodykit.triton_config import write_triton_files
from depthhmr_cli.main import main


@pytest.mark.triton
@pytest.mark.usefixtures("bundled_triton")
def test_every_way_of_doing_the_work_has_its_row(model_dir, tmp_path, capsys):
    folder = shutil.copytree(model_dir, tmp_path / "tiny")
    write_triton_files(Manifest.read(folder), folder)

    assert main(["bench", "--triton", "--requests", "20", "--clients", "1", "2", "--model-dir", str(folder)]) == 0

    row = r"^(\D+?(?:\d clients?)?) +[\d.]+ +[\d.]+ +[\d.]+ +[\d.]+$"
    rows = re.findall(row, capsys.readouterr().out, re.MULTILINE)
    ways = ["REST, 1 client", "REST, 2 clients", "gRPC, 1 client", "gRPC, 2 clients", "gRPC stream"]
    services = [f"{engine} {way}" for engine in ("embedded", "triton") for way in ways]
    assert rows == ["decoding alone", "plain loop", "engine in process", "engine through Triton", *services]


@pytest.mark.parametrize("arguments", [["--requests", "1"], ["--clients", "0"]])
def test_too_few_to_measure_is_a_clear_error(arguments, capsys):
    assert main(["bench", *arguments]) == 2
    assert "expected at least 20 requests and 1 client" in capsys.readouterr().err
