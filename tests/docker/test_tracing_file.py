"""docker/observability/tracing.yml adds traces to docker-compose.yml, and nothing that anything else waits for."""

import json
import re
from typing import Any

import pytest

FILES = ("--file", "docker-compose.yml", "--file", "docker/observability/tracing.yml")


@pytest.fixture(scope="module")
def traced(compose) -> dict[str, Any]:
    """The services with the file."""
    result = compose(*FILES, "config", "--format", "json")
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)["services"]


def test_it_adds_jaeger_and_nothing_else(traced: dict[str, Any]) -> None:
    assert set(traced) == {"gateway", "jaeger"}
    assert "jaeger" not in traced["gateway"]["depends_on"]


def test_the_gateway_sends_to_jaeger_unless_told_otherwise(compose, traced: dict[str, Any]) -> None:
    there = compose(*FILES, "config", "--format", "json", OTEL_EXPORTER_OTLP_ENDPOINT="https://collector.example")

    assert traced["gateway"]["environment"]["DEPTHHMR_TRACES"] == "otlp"
    assert traced["gateway"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://jaeger:4318"
    environment = json.loads(there.stdout)["services"]["gateway"]["environment"]
    assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://collector.example"


def test_jaeger_is_hardened_pinned_and_on_loopback(traced: dict[str, Any]) -> None:
    jaeger, gateway = traced["jaeger"], traced["gateway"]

    for name in ("read_only", "cap_drop", "security_opt", "restart", "logging"):
        assert jaeger[name] == gateway[name], name
    assert re.fullmatch(r"[1-9]\d*:\d+", jaeger["user"]) and int(jaeger["mem_limit"]) > 0 and jaeger["pids_limit"] > 0
    assert [port["host_ip"] for port in jaeger["ports"]] == ["127.0.0.1"]
    assert re.search(r":\d+\.\d+\.\d+$", jaeger["image"])
