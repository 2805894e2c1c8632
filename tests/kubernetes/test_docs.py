"""docs/kubernetes.md: what it names exists, and its example renders."""

import os
import re
import subprocess
from pathlib import Path

import yaml

from service.settings import Settings

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "kubernetes.md").read_text(encoding="utf-8")
EXAMPLE = "kubernetes/overlays/mine"


def test_every_path_that_the_page_names_is_there() -> None:
    named = set(re.findall(r"\b(?:kubernetes|scripts|tests|demo)/[\w./-]*\w", PAGE))

    missing = {path for path in named if not (REPOSITORY / path).exists() and not path.startswith(EXAMPLE)}

    assert len(named) > 10
    assert missing == set()


def test_every_setting_that_the_page_names_exists() -> None:
    named = set(re.findall(r"DEPTHHMR_([A-Z_]*[A-Z])\b", PAGE))

    assert {name for name in named if name.lower() not in Settings.model_fields} == set()


def test_every_object_that_the_page_names_is_in_a_manifest(production, kserve) -> None:
    made_by_kserve = {"depthhmr-predictor", "depthhmr-transformer"}
    names = {document["metadata"]["name"] for part in (production, kserve) for document in part.documents}
    names |= {re.sub(r"-[a-z0-9]{10}$", "", name) for name in names}

    named = set(re.findall(r"`(depthhmr-[a-z-]+[a-z])`", PAGE))

    assert named - names - made_by_kserve == set()


def test_the_example_overlay_renders_and_changes_what_it_says(kubectl, tmp_path: Path) -> None:
    (example,) = re.findall(rf"```yaml\n# {EXAMPLE}/kustomization.yaml\n(.*?)```", PAGE, re.DOTALL)
    production = os.path.relpath(REPOSITORY / "kubernetes" / "overlays" / "production", tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(example.replace("../production", production))

    result = subprocess.run([kubectl, "kustomize", str(tmp_path)], capture_output=True, text=True, timeout=60)

    assert result.returncode == 0, result.stderr
    documents = list(yaml.safe_load_all(result.stdout))
    assert {document["metadata"]["namespace"] for document in documents} == {"depthhmr"}
    assert "registry.example.com/depthhmr/gateway:0.1.0" in result.stdout
    assert 'DEPTHHMR_MAX_PEOPLE: "16"' in result.stdout
    (claim,) = [document for document in documents if document["kind"] == "PersistentVolumeClaim"]
    assert claim["spec"]["storageClassName"] == "shared-files"


def test_the_page_says_what_the_example_needs_and_which_overlay_does_without(production, gpu) -> None:
    def of_the_operator(part) -> set[str]:
        return {item["kind"] for item in part.documents if item["apiVersion"].startswith("monitoring.coreos.com/")}

    assert of_the_operator(production) == {"PodMonitor", "PrometheusRule"} and of_the_operator(gpu) == set()
    (needs,) = [paragraph for paragraph in PAGE.split("\n\n") if "device plugin" in paragraph]
    for word in ("PodMonitor", "PrometheusRule", "nvidia.com/gpu", "`../gpu`", "`../../base`"):
        assert word in needs
