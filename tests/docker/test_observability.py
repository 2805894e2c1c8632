"""Dashboard and alert rules ask for metrics that exist; scripts/docker-check runs them on a real Prometheus."""

import json
import re
from pathlib import Path

import pytest

from service.engines.fake import FakeEngine
from service.errors import ServiceError
from service.telemetry.metrics import Metrics

FOLDER = Path(__file__).parents[2] / "docker" / "observability"
RULES = (FOLDER / "alerts.yml").read_text(encoding="utf-8")
CASES = (FOLDER / "alerts.test.yml").read_text(encoding="utf-8")
DASHBOARD = json.loads((FOLDER / "grafana" / "depthhmr.json").read_text(encoding="utf-8"))
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
EXPRESSIONS = re.findall(r"expr: (?:>-\n)?(.*?)\n +(?:for|labels):", RULES, re.DOTALL)

# What Triton 2.51 listed on its metrics port, and what its documentation lists for GPUs.
OF_TRITON = {
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_count",
    "nv_inference_exec_count",
    "nv_inference_request_duration_us",
    "nv_inference_queue_duration_us",
    "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
    "nv_inference_pending_request_count",
    "nv_gpu_utilization",
    "nv_gpu_memory_total_bytes",
    "nv_gpu_memory_used_bytes",
    "nv_gpu_power_usage",
}
FULL = {"overloaded", "too-many-streams"}  # refused because there is too much: the alert Saturated
PASSING = {"starting", "draining"}  # every start and every stop has these
OF_PROMETHEUS = {"up"}


@pytest.fixture(scope="module")
def of_gateway() -> set[str]:
    """The names of all metrics that the gateway has, whether or not anything was counted yet."""
    metrics = Metrics()
    metrics.watch(FakeEngine(lambda tensors: tensors))
    return set(re.findall(r"^# TYPE (\w+) ", metrics.text().decode(), re.MULTILINE))


def names(expression: str) -> set[str]:
    """The metrics that a PromQL expression reads: the words that are no function, label, keyword or range."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)', " ", expression)
    return set(re.findall(r"\b[a-z]\w+\b(?!\s*\()", bare))


def families(expression: str) -> set[str]:
    """The same, as /metrics names them: a histogram has three series."""
    return {
        re.sub(r"_(bucket|sum|count)$", "", name) if name.startswith("depthhmr_") else name
        for name in names(expression)
    }


def test_names_finds_the_metrics_of_an_expression() -> None:
    expression = 'sum by (le) (rate(a_bucket{stage="b_c"}[5m])) / count(d_e{f=~"g.*"}) > 0.5'

    assert names(expression) == {"a_bucket", "d_e"}


@pytest.mark.parametrize("expression", QUERIES + EXPRESSIONS)
def test_every_metric_that_is_asked_for_exists(expression: str, of_gateway: set[str]) -> None:
    missing = families(expression) - of_gateway - OF_TRITON - OF_PROMETHEUS

    assert missing == set(), f"neither the gateway nor Triton has {', '.join(sorted(missing))}"


def test_every_alert_rule_is_looked_at() -> None:
    assert len(EXPRESSIONS) == RULES.count("- alert:") == RULES.count("expr:")


def test_the_dashboard_shows_every_metric_of_ours(of_gateway: set[str]) -> None:
    ours = {name for name in of_gateway if name.startswith("depthhmr_") and not name.endswith("_created")}

    assert ours - set().union(*map(families, QUERIES)) == set()


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES)
    silent, _, firing = CASES.partition("- name: the gateway is away")

    assert alerts
    assert [alert for alert in alerts if f"alertname: {alert}}}" not in silent] == []
    assert [alert for alert in alerts if f"alertname: {alert}\n" not in firing] == []


def test_outcomes_in_rules_and_dashboard_are_codes_of_errors() -> None:
    codes = {error.code for error in subclasses(ServiceError)}
    patterns = re.findall(r'outcome=~?"([^"]+)"', RULES + " ".join(QUERIES))

    assert patterns
    for pattern in (part for whole in patterns for part in whole.split("|")):
        assert pattern == "ok" or any(re.fullmatch(pattern, code) for code in codes), pattern


def test_every_failure_that_is_ours_is_counted_as_one() -> None:
    """All codes with a status from 500 on."""
    ours = {error.code for error in subclasses(ServiceError) if error.http >= 500} - FULL - PASSING
    (pattern,) = re.findall(r'outcome=~"([^"]+)"', RULES)

    assert {code for code in ours if not re.fullmatch(pattern, code)} == set()


def test_panels_have_numbers_of_their_own_and_the_provisioned_source() -> None:
    panels = DASHBOARD["panels"]
    source = (FOLDER / "grafana" / "datasource.yml").read_text()

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert {panel["datasource"]["uid"] for panel in panels if panel["type"] != "row"} == {"prometheus"}
    assert "uid: prometheus\n" in source


def subclasses(error: type[ServiceError]) -> set[type[ServiceError]]:
    """An error class and everything below it."""
    return {error}.union(*map(subclasses, error.__subclasses__()))
