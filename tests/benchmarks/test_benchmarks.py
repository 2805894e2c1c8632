"""The benchmark runs, counts what was answered, and says how sure it is; its figures are no test's business."""

import dataclasses
import json
import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks import registry
from benchmarks.closed import Row, measure
from benchmarks.processes import BenchmarkError, Process
from benchmarks.report import closed_table, write
from benchmarks.statistics import median_interval, ratios


def test_a_median_lies_in_its_interval_and_one_round_has_none():
    middle, low, high = median_interval([3.0, 1.0, 2.0, 10.0, 2.5])

    assert middle == 2.5 and 1.0 <= low < middle < high <= 10.0
    assert median_interval([4.0]) == (4.0, 4.0, 4.0)


def test_no_rounds_are_an_error():
    with pytest.raises(ValueError, match="at least one round"):
        median_interval([])


def test_ratios_are_taken_round_by_round():
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def row(name: str, clients: int, rate: float, cpu_ms: float) -> Row:
    return Row(name, clients, [rate, rate], [10.0, 10.0], [12.0, 12.0], [cpu_ms, cpu_ms], [0.2, 0.2], [0.0, 0.0])


def test_the_table_compares_everything_with_the_plain_loop(tmp_path):
    rows = [row("plain loop", 1, 20.0, 40.0), row("DepthHMR, REST", 8, 30.0, 38.0)]

    table = closed_table(rows)
    write(tmp_path, "closed", rows, table)

    last = [cell.strip() for cell in table.splitlines()[-1].split("|")]
    assert last[1:6] == ["DepthHMR, REST", "8", "30.0 (30.0 to 30.0)", "1.50 (1.50 to 1.50)", "10.0"]
    assert last[8] == "0.95 (0.95 to 0.95)"
    kept = json.loads((tmp_path / "closed.json").read_text())
    assert kept["rows"][1]["images_per_s"] == [30.0, 30.0] and kept["machine"]["cores"] >= 1


def test_every_contender_has_a_server_and_something_that_starts_it():
    for name, contender in registry.ALL.items():
        assert contender.name == name and contender.server in registry.SERVERS
        assert contender.protocol in ("REST", "form", "batch", "gRPC", "stream")


@pytest.mark.slow
def test_the_service_the_naive_one_and_the_loop_are_measured_for_real(model_dir, people_jpeg, tmp_path, monkeypatch):
    monkeypatch.setitem(registry.SERVERS, "plain loop", with_model(registry.SERVERS["plain loop"], model_dir))
    monkeypatch.setitem(registry.SERVERS, "naive FastAPI", with_model(registry.SERVERS["naive FastAPI"], model_dir))
    monkeypatch.setitem(registry.SERVERS, "DepthHMR", with_model(registry.SERVERS["DepthHMR"], model_dir))
    (photo := tmp_path / "photo.jpg").write_bytes(people_jpeg)
    names = ["plain loop", "naive FastAPI", *registry.OURS]

    rows = measure(names, photo, 2, clients=(2,), rounds=1, seconds=0.5, quiet=None, out=tmp_path)

    assert [(row.contender, row.clients) for row in rows] == [
        (name, 1 if name == "plain loop" else 2) for name in names
    ]
    for row in rows:
        assert {len(values) for values in list(dataclasses.asdict(row).values())[2:]} == {1}
        assert row.images_per_s[0] > 0 and row.p99_ms[0] >= row.p50_ms[0] > 0, row


def with_model(start, model_dir):
    """The same with the tests' tiny network, by the environment that every contender inherits."""

    def started(photo, log):
        kept = {name: value for name, value in os.environ.items() if name.startswith("DEPTHHMR_")}
        assert not kept  # a benchmark measures the defaults
        original = Process.__init__

        def with_variable(self, command, *, environment=None, **options):
            original(
                self, command, environment={**(environment or {}), "DEPTHHMR_MODEL_DIR": str(model_dir)}, **options
            )

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Process, "__init__", with_variable)
            return start(photo, log)

    return started


def test_a_contender_that_ends_is_a_clear_error(tmp_path):
    process = Process([sys.executable, "-c", "raise SystemExit(3)"], log=tmp_path / "log")
    with pytest.raises(BenchmarkError, match="ended with status 3"):
        process.wait_until(lambda: False)
    process.stop()


def test_a_peer_that_is_not_installed_is_named_with_the_remedy(tmp_path, people_jpeg, monkeypatch):
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    (photo := tmp_path / "photo.jpg").write_bytes(people_jpeg)

    with pytest.raises(BenchmarkError, match=r"\.env-mosec/bin/python is missing; run benchmarks/install"):
        registry.SERVERS["mosec"](photo, tmp_path / "log")


def test_stopping_a_contender_stops_what_it_started(tmp_path):
    code = "import subprocess, sys; print(subprocess.Popen(['sleep', '60']).pid, flush=True); sys.stdin.read()"
    process = Process([sys.executable, "-c", code], log=tmp_path / "log", speaks=True)
    child = int(process.hear())

    assert process.cpu_s() > 0 and process.rss_mb() > 1
    process.stop()

    end = time.monotonic() + 30
    while is_running(child):
        assert time.monotonic() < end
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether it has not ended; whoever inherited it has perhaps not asked for its status yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
