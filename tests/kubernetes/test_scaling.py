"""What grows by itself: targets exist, metrics exist, nobody else sets the number."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.errors import ServiceError

REPOSITORY = Path(__file__).parents[2]
ADAPTER = REPOSITORY / "kubernetes" / "components" / "prometheus" / "adapter-rules.yaml"


def test_every_autoscaler_scales_a_deployment_that_is_there(manifests) -> None:
    for scaler in manifests.of("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert manifests.get(target["kind"], target["name"])
        assert 1 <= scaler["spec"]["minReplicas"] < scaler["spec"]["maxReplicas"]


def test_every_deployment_has_an_autoscaler_and_a_budget_and_no_number_of_its_own(manifests) -> None:
    for deployment in manifests.of("Deployment"):
        name = deployment["metadata"]["name"]
        assert "replicas" not in deployment["spec"], "every apply would undo what the autoscaler did"
        assert manifests.get("HorizontalPodAutoscaler", name)
        assert manifests.get("PodDisruptionBudget", name)["spec"]["maxUnavailable"] == 1


def test_processor_targets_have_a_request_to_be_a_percentage_of(manifests) -> None:
    for scaler in manifests.of("HorizontalPodAutoscaler"):
        if any(metric["type"] == "Resource" for metric in scaler["spec"]["metrics"]):
            for container in manifests.pod(scaler["metadata"]["name"]).spec["containers"]:
                assert container["resources"]["requests"]["cpu"]


def test_gateways_scale_on_processors_and_waiting_images_and_tritons_on_their_queue(gpu) -> None:
    metrics = {
        scaler["metadata"]["name"]: {
            metric["pods"]["metric"]["name"] if metric["type"] == "Pods" else metric["resource"]["name"]
            for metric in scaler["spec"]["metrics"]
        }
        for scaler in gpu.of("HorizontalPodAutoscaler")
    }

    assert metrics == {
        "depthhmr-gateway": {"cpu", "depthhmr_engine_waiting"},
        "depthhmr-triton": {"nv_inference_pending_request_count"},
    }


def test_the_adapter_knows_every_metric_that_an_autoscaler_asks_for(gpu) -> None:
    rules = yaml.safe_load(ADAPTER.read_text(encoding="utf-8"))["rules"]["custom"]
    known = {rule["seriesQuery"].partition("{")[0] for rule in rules}

    assert set(pod_metrics(gpu)) == known
    for rule in rules:
        assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}
        assert "<<.LabelMatchers>>" in rule["metricsQuery"] and "<<.GroupBy>>" in rule["metricsQuery"]


@pytest.mark.anyio
async def test_every_series_of_ours_that_a_manifest_names_is_one_that_the_service_writes(production, client) -> None:
    written = set(re.findall(r"^(depthhmr_\w+)", (await client.get("/metrics")).text, re.MULTILINE))
    # A counter with labels writes nothing before it has counted; its declaration is there all the same.
    written |= set(re.findall(r"^# TYPE (depthhmr_\w+)", (await client.get("/metrics")).text, re.MULTILINE))

    named = {name for text in expressions(production) for name in re.findall(r"\bdepthhmr_\w+", text)}
    named |= {name for name in pod_metrics(production) if name.startswith("depthhmr_")}

    assert len(named) >= 4
    assert named - written == set()


def test_every_outcome_that_an_alert_names_is_the_code_of_an_error(production) -> None:
    codes = {kind.code for kind in all_errors(ServiceError)}
    named = {
        code
        for text in expressions(production)
        for values in re.findall(r'(?:outcome|reason)=~?"([^"]+)"', text)
        for code in values.split("|")
    }

    assert named
    assert named - codes == set()


def expressions(manifests) -> Iterator[str]:
    for rule in manifests.of("PrometheusRule"):
        for group in rule["spec"]["groups"]:
            yield from (entry["expr"] for entry in group["rules"])


def pod_metrics(manifests) -> Iterator[str]:
    for scaler in manifests.of("HorizontalPodAutoscaler"):
        for metric in scaler["spec"]["metrics"]:
            if metric["type"] == "Pods":
                yield metric["pods"]["metric"]["name"]


def all_errors(kind: type[ServiceError]) -> Iterator[Any]:
    yield kind
    for child in kind.__subclasses__():
        yield from all_errors(child)
