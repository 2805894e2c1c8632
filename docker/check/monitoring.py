"""Prometheus and what is provisioned for it: configuration, alert rules with their cases, the scrape, the dashboard's queries.

On an engine of our own the official image cannot be fetched; Debian's Prometheus, in an image made like it, stands in.
Grafana has no Debian package: it runs only where its own image can be fetched.
"""

import json
import re
import shutil
import time
import urllib.parse
from pathlib import Path
from typing import Any

import debian
from product import Product
from terminal import require, say

FOLDER = Path(__file__).resolve().parents[1] / "observability"
STAND_IN = "depthhmr/prometheus-stand-in:check"
# As in the official image: the programs in /bin, busybox's wget for the health check, /prometheus of nobody's.
STAND_IN_DOCKERFILE = """\
FROM python:3.11-slim-bookworm
COPY prometheus promtool busybox /bin/
RUN ln -s /bin/busybox /bin/wget && install -d -o 65534 -g 65534 /prometheus
ENTRYPOINT ["/bin/prometheus"]
"""
SCRAPE_S = 40


def check(product: Product) -> None:
    variables = {"PROMETHEUS_IMAGE": stand_in(product)} if product.packages else {}
    services = ["prometheus"] if product.packages else ["prometheus", "grafana"]
    image = (
        variables.get("PROMETHEUS_IMAGE")
        or json.loads(product.compose("config", "--format", "json", profile="observability"))["services"]["prometheus"][
            "image"
        ]
    )
    check_rules(product, image)
    product.compose(
        "up",
        "--detach",
        "--wait",
        "--wait-timeout",
        120,
        *services,
        profile="observability",
        timeout_s=300,
        **variables,
    )
    say(f"ok  the profile observability: {' and '.join(services)} healthy" + (" (a stand-in)" if variables else ""))
    check_scrape(product)
    check_dashboard(product)


def stand_in(product: Product) -> str:
    """The image with Debian's Prometheus."""
    assert product.packages
    unpacked = debian.unpack(["prometheus", "promtool", "busybox-static"], "trixie", product.packages / "prometheus")
    context = product.scratch / "prometheus"
    context.mkdir()
    for program in ("prometheus", "promtool", "busybox"):
        source = unpacked / "usr" / "bin" / program
        shutil.copy(source if source.exists() else unpacked / "bin" / program, context)
    (context / "Dockerfile").write_text(STAND_IN_DOCKERFILE)
    product.docker("build", "--quiet", "--tag", STAND_IN, context, timeout_s=120)
    return STAND_IN


def check_rules(product: Product, image: str) -> None:
    promtool = [
        "--network=none",
        "--tmpfs=/tmp",
        f"--volume={FOLDER}:/etc/prometheus:ro",
        "--entrypoint=/bin/promtool",
        image,
    ]
    product.once(*promtool, "check", "config", "/etc/prometheus/prometheus.yml")
    product.once(*promtool, "test", "rules", "/etc/prometheus/alerts.test.yml")
    say("ok  Prometheus takes its configuration, and every alert fires in its case and is silent without")


def check_scrape(product: Product) -> None:
    begin = time.monotonic()
    up: list[Any] = []
    while not up and time.monotonic() - begin < SCRAPE_S:
        up = query(product, 'up{job="gateway"} == 1')
        time.sleep(0.5)
    require(up, "Prometheus scrapes the gateway")
    targets = api(product, "targets")["activeTargets"]
    require(
        [target["labels"]["job"] for target in targets] == ["gateway"],
        "and has no target for a Triton that is not there",
    )
    rules = [rule for group in api(product, "rules")["groups"] for rule in group["rules"]]
    unwell = [rule["name"] for rule in rules if rule.get("lastError")]
    require(not unwell, f"its {len(rules)} alert rules can be evaluated", unwell)


def check_dashboard(product: Product) -> None:
    families = set(re.findall(r"^# TYPE (\w+) ", product.ask("/metrics").decode(), re.M))
    queries = dashboard_queries()
    for expression in queries:
        query(product, expression.replace("$__rate_interval", "1m"))
    say(f"ok  Prometheus answers the dashboard's {len(queries)} queries")
    text = " ".join(queries) + (FOLDER / "alerts.yml").read_text()
    used = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\b(?:depthhmr|process)_\w+", text)}
    require(
        used <= families, "and the gateway has every metric that dashboard and alerts name", sorted(used - families)
    )


def dashboard_queries() -> list[str]:
    dashboard = json.loads((FOLDER / "grafana" / "depthhmr.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]


def query(product: Product, expression: str) -> list[Any]:
    return api(product, "query?" + urllib.parse.urlencode({"query": expression}))["result"]


def api(product: Product, path: str) -> Any:
    return json.loads(product.ask(f"/api/v1/{path}", service="prometheus", port=9090))["data"]
