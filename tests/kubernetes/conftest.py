"""The manifests as kubectl renders them, and a look at them that knows which pods they make.

Tests that take the fixture `manifests` run once per folder in `RENDERED`.
"""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
RENDERED = ("base", "overlays/gpu", "overlays/production", "kserve")
INSTALLED = REPOSITORY / ".venv" / "kubectl" / "kubectl"

# What KServe's components have beside the fields of a pod: ComponentExtensionSpec, and the predictor's `model`.
KSERVE_FIELDS = {"minReplicas", "maxReplicas", "scaleTarget", "scaleMetric", "timeout", "model"}
KSERVE_POD_FIELDS = {"containers", "volumes", "tolerations", "nodeSelector", "affinity"}  # of a ServingRuntime


@dataclass(frozen=True)
class Pod:
    """What a workload makes."""

    owner: str
    labels: dict[str, str]
    spec: dict[str, Any]

    @property
    def containers(self) -> list[dict[str, Any]]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def volume(self, name: str) -> dict[str, Any]:
        (found,) = [volume for volume in self.spec["volumes"] if volume["name"] == name]
        return found


@dataclass(frozen=True)
class Manifests:
    name: str
    documents: list[dict[str, Any]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [document for document in self.documents if document["kind"] == kind]

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found = [document for document in self.of(kind) if document["metadata"]["name"] == name]
        assert len(found) == 1, f"{self.name} has {len(found)} {kind} {name}"
        return found[0]

    @cached_property
    def pods(self) -> list[Pod]:
        return list(self._pods())

    def pod(self, owner: str) -> Pod:
        (found,) = [pod for pod in self.pods if pod.owner == owner]
        return found

    def environment(self, container: dict[str, Any]) -> dict[str, str]:
        """The variables of a container: those of its ConfigMaps, then its own."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            found |= self.get("ConfigMap", source["configMapRef"]["name"])["data"]
        return found | {entry["name"]: entry["value"] for entry in container.get("env", [])}

    def _pods(self) -> Iterator[Pod]:
        for document in self.documents:
            if document["kind"] in ("Deployment", "Job"):
                template = document["spec"]["template"]
                yield Pod(document["metadata"]["name"], template["metadata"]["labels"], template["spec"])
        for service in self.of("InferenceService"):
            for component, spec in service["spec"].items():
                yield self._kserve_pod(service["metadata"]["name"], component, spec)

    def _kserve_pod(self, name: str, component: str, spec: dict[str, Any]) -> Pod:
        """As KServe puts it together: the fields of a pod, and for a `model` those of its runtime."""
        labels = {"serving.kserve.io/inferenceservice": name, "component": component}
        pod = {key: value for key, value in spec.items() if key not in KSERVE_FIELDS}
        if "model" in spec:
            runtime = self.get("ServingRuntime", spec["model"]["runtime"])
            pod |= {key: value for key, value in runtime["spec"].items() if key in KSERVE_POD_FIELDS}
        return Pod(f"{name}-{component}", labels, pod)


@pytest.fixture(scope="session")
def kubectl() -> str:
    """scripts/install-kubectl puts it there; one on PATH does, too."""
    found = str(INSTALLED) if INSTALLED.exists() else shutil.which("kubectl")
    if not found:
        pytest.skip("kubectl is missing; scripts/install-kubectl installs it")
    return found


@pytest.fixture(scope="session", params=RENDERED)
def manifests(request: pytest.FixtureRequest, kubectl: str) -> Manifests:
    return rendered(kubectl, request.param)


@pytest.fixture(scope="session")
def gpu(kubectl: str) -> Manifests:
    return rendered(kubectl, "overlays/gpu")


@pytest.fixture(scope="session")
def kserve(kubectl: str) -> Manifests:
    return rendered(kubectl, "kserve")


@pytest.fixture(scope="session")
def production(kubectl: str) -> Manifests:
    return rendered(kubectl, "overlays/production")


def rendered(kubectl: str, name: str) -> Manifests:
    command = [kubectl, "kustomize", str(REPOSITORY / "kubernetes" / name)]
    # No cluster and no configuration of the user: rendering is a matter of files.
    environment = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stderr == "", "kustomize warns"
    return Manifests(name, [document for document in yaml.safe_load_all(result.stdout) if document])
