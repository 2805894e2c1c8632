"""`depthhmr bench` runs and prints every row; the figures themselves are no test's business."""

import re
import shutil

import pytest

from bodykit.manifest import Manifest
from bodykit.triton_config import write_triton_files
from depthhmr_cli.bench_load import ANSWERED, ENDED, EXPIRED, LATE, REFUSED, UNANSWERED, WRONG
from depthhmr_cli.bench_overload import Bench, people_of, print_table, rate_of, write_keys
from depthhmr_cli.main import main
from depthhmr_cli.running import plain_environment, running_service

pytestmark = pytest.mark.slow


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


def test_every_request_of_an_overload_ends_as_something(model_dir, people_jpeg, tmp_path):
    (photo := tmp_path / "photo.jpg").write_bytes(people_jpeg)
    keys = write_keys(tmp_path / "keys")
    environment = plain_environment() | {"DEPTHHMR_API_KEYS_FILE": str(tmp_path / "keys")}
    flags = ["--model-dir", str(model_dir), "--max-concurrency", "4"]
    with running_service(*flags, environment=environment) as service:
        people = people_of(photo, service.port, keys["REST"][0])
        found = Bench(service, photo, people, keys, 5.0).open(100, 1.0)

    assert people == 2 and len(found[LATE]) == 100
    assert len(found[ANSWERED]) + len(found[REFUSED]) + len(found[EXPIRED]) == 100
    assert found[ANSWERED] and found[WRONG] == found[UNANSWERED] == []


def test_an_answer_counts_when_it_came_in_time_and_while_requests_were_sent(capsys):
    found = {kind: [] for kind in (REFUSED, EXPIRED, WRONG, UNANSWERED)}
    found |= {ANSWERED: [0.5, 0.5, 3.0, 0.5], ENDED: [0.5, 1.5, 2.5], LATE: [0.0] * 4}

    assert rate_of(found, 2.0) == 1.0
    print_table(found, 1.0, seconds=2.0, deadline_s=2.0)
    assert re.search(r"answered in time \(goodput\) +1\.0/s +>= 0\.9 1\.00 of it", capsys.readouterr().out)


@pytest.mark.parametrize("arguments", [["--seconds", "0"], ["--times", "-1"], ["--deadline-s", "0"]])
def test_an_overload_of_nothing_is_a_clear_error(arguments, capsys):
    assert main(["bench", "--overload", *arguments]) == 2
    assert "expected seconds, times and a deadline above 0" in capsys.readouterr().err
