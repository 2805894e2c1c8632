"""Writes the bill of materials: the locked packages with the hashes of their files, the network, the body.

cyclonedx-py reads the lock; this adds what it cannot know. The image's base is not in it: the base has a bill of its own.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

CYCLONEDX = Path(sys.executable).with_name("cyclonedx-py")
LOCK = Path("docker/requirements.lock")
MODEL = Path("model_repository/depthhmr/manifest.json")
EXTRAS = ("triton", "otel")  # what the image installs besides the dependencies


def main(target: str) -> int:
    bill = completed(of_lock())
    text = json.dumps(bill, indent=1, sort_keys=True) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        print(f"sbom: the bill does not fit CycloneDX 1.6: {error}", file=sys.stderr)
        return 1
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(text, encoding="utf-8")
    print(f"sbom: {target} lists {len(bill['components'])} components and fits the schema of CycloneDX 1.6")
    return 0


def of_lock() -> dict[str, Any]:
    command = [CYCLONEDX, "requirements", LOCK, "--pyproject", "pyproject.toml"]
    options = ["--output-reproducible", "--spec-version", "1.6", "--output-format", "JSON"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise SystemExit(f"sbom: cyclonedx-py failed: {done.stderr.strip()[-500:]}")
    bill: dict[str, Any] = json.loads(done.stdout)
    return bill


def completed(bill: dict[str, Any]) -> dict[str, Any]:
    for component in bill["components"]:
        component.pop("description", None)  # "requirements line 10: ..."
        component["bom-ref"] = component["purl"]
    root = bill["metadata"]["component"]
    root["version"] = version()
    root["bom-ref"] = f"pkg:generic/depthhmr@{root['version']}"
    added = assets()
    bill["components"] += added
    direct = [item["purl"] for item in bill["components"] if item["name"] in asked_for()]
    # The lock does not say which package needs which, so nothing is claimed below the first level.
    bill["dependencies"] = [
        {"ref": root["bom-ref"], "dependsOn": sorted([*direct, *(item["bom-ref"] for item in added)])}
    ]
    return bill


def assets() -> list[dict[str, Any]]:
    """The network and the body, by the hashes in the model's manifest."""
    manifest = json.loads(MODEL.read_text(encoding="utf-8"))
    network, body = "machine-learning-model", "data"
    parts = [
        (network, f"{manifest['name']}-network", manifest["version"], manifest["sha256"], manifest["license"]),
        (body, f"{manifest['body']['name']}-body", manifest["body"]["version"], manifest["body"]["sha256"], None),
    ]
    return [
        {
            "type": kind,
            "name": name,
            "version": number,
            "bom-ref": f"pkg:generic/{name}@{number}",
            "hashes": [{"alg": "SHA-256", "content": sha256}],
            **({"licenses": [{"license": {"id": license_id}}]} if license_id else {}),
        }
        for kind, name, number, sha256, license_id in parts
    ]


def asked_for() -> set[str]:
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in EXTRAS for line in project["optional-dependencies"][extra])]
    return {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower().replace("_", "-") for line in lines}


def version() -> str:
    found = re.search(r'__version__ = "([^"]+)"', Path("service/__init__.py").read_text(encoding="utf-8"))
    assert found is not None, "service/__init__.py has no __version__"
    return found[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
