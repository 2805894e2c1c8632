"""Each fuzzer for a few seconds, always with the same inputs. `make fuzz` runs them for longer, with others."""

import pytest

from depthhmr_cli.running import running_service
from fuzz import coverage, rest, streams
from fuzz.__main__ import table
from fuzz.results import Result

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(model_dir):
    with running_service("--model-dir", str(model_dir), "--log-level", "warning") as running:
        yield running


@pytest.mark.parametrize(("target", "runs"), [("decoding", 1500), ("options", 20_000)])
def test_the_fuzzer_led_by_coverage_finds_nothing(tmp_path, target, runs):
    result = coverage.fuzz(target, runs=runs, keep=tmp_path)

    assert result.findings == () and result.inputs >= runs


def test_the_fuzzer_led_by_coverage_tells_what_it_finds(tmp_path):
    result = coverage.fuzz("nonsense", runs=1, keep=tmp_path)

    assert "KeyError: 'nonsense'" in result.findings[0]


@pytest.mark.filterwarnings("ignore")
def test_every_answer_of_rest_is_one_that_openapi_describes(service):
    result = rest.fuzz(service.address, rounds=4)

    assert result.findings == () and result.inputs > 100


def test_random_clients_of_the_stream_get_one_answer_per_frame_in_order(service):
    result = streams.fuzz(f"127.0.0.1:{service.grpc_port}", rounds=4)

    assert result.findings == () and result.inputs >= 40


def test_the_table_names_every_finding():
    printed = table([Result("one", 12), Result("two", 3, ("frame 7 had no answer",))])

    assert "one                                         12         0" in printed
    assert "two: frame 7 had no answer" in printed
