"""Every rendered document fits its schema: Kubernetes' own kinds strictly, at both ends of the versions that we promise."""

import copy
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from kubernetes_validate import utils

SCHEMAS = Path(__file__).parent / "schemas"
VERSIONS = ("1.30", "1.37")  # the oldest that docs/kubernetes.md names, and the newest that the package knows
CUSTOM = {"InferenceService", "ServingRuntime", "PodMonitor", "PrometheusRule"}
# Of a pod, and so for Kubernetes' own schema to judge.
POD_FIELDS = {"containers", "volumes", "tolerations", "nodeSelector", "affinity", "securityContext"}
POD_FIELDS |= {"automountServiceAccountToken", "enableServiceLinks", "terminationGracePeriodSeconds"}


@pytest.fixture(autouse=True)
def schemas_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package reads 1 MB of definitions for each document."""
    monkeypatch.setattr(utils, "schema_contents", contents)


contents = lru_cache(utils.schema_contents)


def validate(document: dict[str, Any], version: str = VERSIONS[-1]) -> None:
    if document["kind"] in CUSTOM:
        schema = json.loads((SCHEMAS / f"{document['kind'].lower()}.json").read_text())
        jsonschema.validate(without_pods(document), schema, jsonschema.Draft202012Validator)
    else:
        kubernetes_validate.validate(document, version, strict=True)


def without_pods(document: dict[str, Any]) -> dict[str, Any]:
    """What is KServe's alone; `test_pods_of_kserve...` sees to the rest."""
    document = copy.deepcopy(document)
    places = {"ServingRuntime": [document["spec"]], "InferenceService": document["spec"].values()}
    for spec in places.get(document["kind"], []):
        for field in POD_FIELDS & set(spec):
            del spec[field]
    return document


@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_fits_its_schema(manifests, version: str) -> None:
    assert manifests.documents
    for document in manifests.documents:
        validate(document, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_pods_of_kserve_are_pods_for_kubernetes(kserve, version: str) -> None:
    assert {pod.owner for pod in kserve.pods} == {"depthhmr-predictor", "depthhmr-transformer", "depthhmr-plan"}
    for pod in kserve.pods:
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod.owner}, "spec": pod.spec}
        validate(document, version)


def test_no_document_names_a_namespace(manifests) -> None:
    assert [document["kind"] for document in manifests.documents if "namespace" in document["metadata"]] == []


def test_no_two_documents_have_one_name(manifests) -> None:
    names = [(document["kind"], document["metadata"]["name"]) for document in manifests.documents]

    assert len(names) == len(set(names))


# The validator can fail: each of these is one mistake in an otherwise right document.
MISTAKES = [
    ("Deployment", "spec.replicas", "two"),
    ("Deployment", "spec.template.spec.containers.0.redinessProbe", {}),
    ("Deployment", "spec.template.spec.containers.0.ports.0.containerPort", "http"),
    ("Deployment", "spec.template.spec.securityContext.runAsNonRot", True),
    ("HorizontalPodAutoscaler", "spec.metrics.0.type", None),
    ("NetworkPolicy", "spec.ingres", []),
    ("PodDisruptionBudget", "spec.selector", "app=x"),
    ("PodMonitor", "spec.podMetricsEndpoints.0.pathh", "/metrics"),
    ("PrometheusRule", "spec.groups.0.rules.0.expr", 1),
    ("Service", "spec.ports.0.targetport", 8000),
]


@pytest.mark.parametrize(("kind", "place", "value"), MISTAKES)
def test_one_mistake_is_found(production, kind: str, place: str, value: object) -> None:
    document = broken(production.of(kind)[0], place, value)

    with pytest.raises(jsonschema.ValidationError):
        validate(document)


KSERVE_MISTAKES = [
    ("InferenceService", "spec.transformer.scaleTarget", 120),  # percent of a processor, up to 100 for KServe
    ("InferenceService", "spec.predictor.model.modelformat", {}),
    ("InferenceService", "spec.predictor.model.protocolVersion", "grpc"),
    ("InferenceService", "spec.tranformer", {}),
    ("ServingRuntime", "spec.supportedModelFormats.0.autoselect", True),
    ("ServingRuntime", "spec.hostNetwork", True),
]


@pytest.mark.parametrize(("kind", "place", "value"), KSERVE_MISTAKES)
def test_one_mistake_in_a_resource_of_kserve_is_found(kserve, kind: str, place: str, value: object) -> None:
    document = broken(kserve.of(kind)[0], place, value)

    with pytest.raises(jsonschema.ValidationError):
        validate(document)


def broken(document: dict[str, Any], place: str, value: object) -> dict[str, Any]:
    document = copy.deepcopy(document)
    validate(document)  # right so far
    *way, last = place.split(".")
    spot: Any = document
    for step in way:
        spot = spot[int(step)] if step.isdigit() else spot[step]
    spot[last] = value
    return document
