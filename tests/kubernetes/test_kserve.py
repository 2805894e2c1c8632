"""The gateway as a KServe transformer: what KServe does to it, and that it runs all the same.

What KServe appends to a custom transformer's arguments is in its pkg/apis/serving/v1beta1/transformer_custom.go; how it
numbers a Service's ports in pkg/controller/v1beta1/inferenceservice/reconcilers/service/service_reconciler.go.
"""

import http.client
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

APPENDED = ["--model_name", "depthhmr", "--predictor_host", "depthhmr-predictor.somewhere", "--http_port", "8080"]
APPENDED += ["--workers", "4"]  # where containerConcurrency is set


def test_the_names_that_kserve_wants(kserve) -> None:
    for owner in ("depthhmr-predictor", "depthhmr-transformer"):
        (container,) = kserve.pod(owner).spec["containers"]
        assert container["name"] == "kserve-container"


def test_kserve_numbers_the_ports_as_the_gateway_and_its_callers_expect(kserve) -> None:
    predictor = service_ports(kserve.pod("depthhmr-predictor"))
    transformer = service_ports(kserve.pod("depthhmr-transformer"))

    assert predictor[8001] == 8001, "the gateway asks for depthhmr-predictor:8001"
    assert transformer == {80: 8000}, "KServe's ingress asks for port 80"


def service_ports(pod) -> dict[int, int]:
    """Port of KServe's Service -> port of the container: the first is 80, the others keep their number."""
    first, *others = [port["containerPort"] for port in pod.spec["containers"][0]["ports"]]
    return {80: first} | {port: port for port in others}


def test_the_runtime_supports_what_the_predictor_asks_for(kserve) -> None:
    model = kserve.get("InferenceService", "depthhmr")["spec"]["predictor"]["model"]
    runtime = kserve.get("ServingRuntime", model["runtime"])["spec"]

    formats = [{name: entry[name] for name in ("name", "version")} for entry in runtime["supportedModelFormats"]]
    assert model["modelFormat"] in formats
    assert model["protocolVersion"] in runtime["protocolVersions"]


def test_no_argument_is_a_template(kserve) -> None:
    """KServe reads a runtime's arguments as Go templates."""
    arguments = kserve.get("ServingRuntime", "depthhmr-triton")["spec"]["containers"][0]

    assert "{{" not in " ".join([*arguments["command"], *arguments["args"]])


def test_the_predictor_reads_the_folder_that_the_job_fills(kserve) -> None:
    uri = kserve.get("InferenceService", "depthhmr")["spec"]["predictor"]["model"]["storageUri"]
    pod = kserve.pod("depthhmr-plan")
    (mount,) = [mount for mount in pod.containers[0]["volumeMounts"] if mount["mountPath"] == "/models"]

    claim = pod.volume(mount["name"])["persistentVolumeClaim"]["claimName"]
    assert uri == f"pvc://{claim}/{mount['subPath']}"


@pytest.mark.slow
def test_the_transformer_starts_serves_and_stops_with_what_kserve_appends(kserve, model_dir: Path) -> None:
    container = kserve.pod("depthhmr-transformer").containers[0]
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **kserve.environment(container),
        # what cannot be here: the cluster's network, and a Triton
        "DEPTHHMR_HOST": "127.0.0.1",
        "DEPTHHMR_PORT": "0",
        "DEPTHHMR_ENGINE": "embedded",
        "DEPTHHMR_MODEL_DIR": str(model_dir),
    }
    command = [*container["args"], *APPENDED]

    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as started:
        try:
            found = re.search(r"ready at http://127\.0\.0\.1:(\d+)", started.stdout.readline())
            assert found
            for path in ("/v1/health/startup", "/v1/health/ready", "/v1/health/live"):
                assert status(int(found[1]), path) == 200
            started.send_signal(signal.SIGTERM)  # to the very process: the shell must not stand in between
            assert started.wait(15) == 0
            assert "depthhmr stopped" in started.stdout.read()
        finally:
            started.kill()


def status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
