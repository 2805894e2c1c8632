"""The bill of materials, and what the audit makes of pip-audit's answers."""

import json
import runpy
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "docker" / "supply_chain"
TOOLS = REPOSITORY / ".venv" / "supply-chain" / "bin" / "python"  # by scripts/install-supply-chain


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict:
    if not TOOLS.exists():
        pytest.skip("scripts/install-supply-chain has not been run")
    target = tmp_path_factory.mktemp("sbom") / "sbom.json"
    command = [TOOLS, FOLDER / "sbom.py", target]

    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)

    assert result.returncode == 0, result.stderr
    assert "fits the schema of CycloneDX 1.6" in result.stdout
    return json.loads(target.read_text())


def test_the_bill_lists_every_locked_package_by_release_and_hash(bill: dict) -> None:
    lines = (REPOSITORY / "docker" / "requirements.lock").read_text().splitlines()
    locked = {tuple(line.split()[0].split("==")) for line in lines if "==" in line and not line.startswith("#")}
    listed = {(item["name"], item["version"]): item for item in bill["components"] if item["type"] == "library"}

    assert set(listed) == locked
    for item in listed.values():
        (distribution,) = [link for link in item["externalReferences"] if link["type"] == "distribution"]
        assert {entry["alg"] for entry in distribution["hashes"]} == {"SHA-256"}


def test_the_bill_has_the_network_and_the_body(bill: dict) -> None:
    manifest = json.loads((REPOSITORY / "model_repository/depthhmr/manifest.json").read_text())
    hashes = {item["type"]: item["hashes"][0]["content"] for item in bill["components"] if "hashes" in item}

    assert hashes == {"machine-learning-model": manifest["sha256"], "data": manifest["body"]["sha256"]}
    assert bill["metadata"]["component"]["name"] == "depthhmr"


SOUND = {"name": "sound", "version": "1", "vulns": []}
HOLED = {"name": "holed", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]}
SKIPPED = {"name": "unknown", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("output", "status", "words"),
    [
        (json.dumps({"dependencies": [SOUND]}), 0, "1 packages, no known hole"),
        (json.dumps({"dependencies": [SOUND, HOLED]}), 1, "holed 2: CVE-1, mended in 3"),
        (json.dumps({"dependencies": [SKIPPED, HOLED]}), 1, "holed 2: CVE-1"),
        (json.dumps({"dependencies": [SOUND, SKIPPED]}), 77, "NOT RUN: the.lock: the advisory service knew 1 of 2"),
        (json.dumps({"dependencies": []}), 77, "NOT RUN"),
        ("", 77, "NOT RUN: the.lock: the advisory service did not answer"),
    ],
)
def test_an_audit_that_asked_nobody_is_no_success(output: str, status: int, words: str) -> None:
    verdict = runpy.run_path(str(FOLDER / "audit.py"))["verdict"]

    found, sentence = verdict("the.lock", output)

    assert found == status and words in sentence
