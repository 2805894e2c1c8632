"""The profile gpu as far as it goes without a GPU: the real compose file, and a real Triton in it.

Stand-ins: for the official Triton image, one with the server that the package nvidia-pytriton carries (Triton 2.51,
Python backend alone); for NVIDIA's TensorRT image, plain Python, so that the plan builder does all that needs no TensorRT
and then hands Triton the network for its Python backend. Everything else is as it ships: flags, users, read-only roots,
networks, health checks, order of start, and the gateway that finds Triton by its name.
"""

import contextlib
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

from product import REPOSITORY, Product
from terminal import Failed, require, run, say

IMAGE = "depthhmr/triton-stand-in:check"
PLAN_IMAGE = "depthhmr/plan:check"
# Like the official image: tritonserver on the PATH, curl, user 1000. The rest of the gateway's image is what the model
# for the Python backend needs. The exact release of the package: see scripts/install-triton.
DOCKERFILE = """\
FROM depthhmr/gateway:check
USER root
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends curl libpython3.11 && useradd --uid 1000 triton-server
RUN --mount=type=secret,id=pip_conf,target=/run/secrets/pip.conf \\
    --mount=type=secret,id=ca_bundle,target=/run/secrets/ca.crt \\
    --mount=type=cache,target=/root/.cache/pip,sharing=locked \\
    export PIP_CONFIG_FILE=/run/secrets/pip.conf; [ ! -s /run/secrets/ca.crt ] || export PIP_CERT=/run/secrets/ca.crt; \\
    /usr/local/bin/python3 -m pip --python /opt/depthhmr/bin/python install --quiet --no-deps nvidia-pytriton==0.7.0
RUN ln -s /opt/depthhmr/lib/python3.11/site-packages/pytriton/tritonserver /opt/tritonserver \\
 && ln -s /opt/tritonserver/bin/tritonserver /usr/local/bin/ \\
 && ln -s /opt/tritonserver/python_backend_stubs/3.11/triton_python_backend_stub /opt/tritonserver/backends/python/
ENTRYPOINT []
"""
# What has to differ without a GPU and TensorRT. `--dry-run` is the plan builder's own: all that needs neither, no plan.
OVERLAY = """\
services:
  plan:
    deploy: !reset null
    command:
      - sh
      - -c
      - >-
        depthhmr tensorrt build --model-dir /srv/model_repository/depthhmr --out /plans --dry-run --images /src/demo
        && cp -R /srv/model_repository/depthhmr /plans/
        && cp /plans/depthhmr/configs/pybe.pbtxt /plans/depthhmr/config.pbtxt
  triton:
    deploy: !reset null
"""
BUILD_S, START_S, BACK_S = 600, 240, 60
CLIENT = "import tritonclient.grpc as grpc; client = grpc.InferenceServerClient('triton:8001'); print({})"


def check(product: Product) -> None:
    build(product)
    with up(product):
        check_answers(product)
        check_closed(product)
        check_metrics(product)
        check_death(product)


def build(product: Product) -> None:
    begin = time.monotonic()
    context = product.scratch / "triton"
    context.mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    overlay = product.scratch / "gpu.yml"
    overlay.write_text(OVERLAY)
    product.files.append(overlay)
    secrets = [f"--secret=id={name},src={product.scratch / file}" for name, file in product.secret_files.items()]
    product.docker("build", "--quiet", "--tag", IMAGE, *secrets, context, timeout_s=BUILD_S)
    product.env |= {"TRITON_IMAGE": IMAGE, "TENSORRT_IMAGE": product.base, "PLAN_IMAGE": PLAN_IMAGE}
    product.compose("build", "--quiet", "plan", profile="gpu", timeout_s=BUILD_S)
    say(f"the plan builder's image and a stand-in for Triton's are built in {time.monotonic() - begin:.0f} s")
    # No GPU, no TensorRT: the command as it ships must say so and nothing else.
    shipped = json.loads(run_config(product))["services"]["plan"]
    words = product.once("--tmpfs=/tmp", shipped["image"], *shipped["command"][:3], "--out", "/plans", status=2)
    require(
        "TensorRT" in words and "Traceback" not in words,
        "without TensorRT the plan builder ends with one sentence",
        words,
    )


def run_config(product: Product) -> str:
    """The compose file without what this module lays over it."""
    files = ["--file", REPOSITORY / "docker-compose.yml", "--project-directory", REPOSITORY, "--env-file", os.devnull]
    command = ["docker", "compose", *files, "--profile", "gpu", "config", "--format", "json"]
    return run(command, env=product.env).stdout


@contextlib.contextmanager
def up(product: Product) -> Iterator[None]:
    begin = time.monotonic()
    try:
        words = ["up", "--detach", "--no-build", "--wait", "--wait-timeout", START_S]
        product.compose(*words, profile="gpu", timeout_s=START_S + 30)
        say(f"ok  --profile gpu: plan done, Triton healthy, gateway healthy after {time.monotonic() - begin:.1f} s")
        yield
    except Failed:
        print(product.compose("logs", "--tail", "60", profile="*"))
        raise
    finally:
        product.compose("down", "--volumes", "--remove-orphans", "--timeout", 10, profile="*", timeout_s=120)


def check_answers(product: Product) -> None:
    require(product.inspect("{{.State.ExitCode}}", "plan") == "0", "the plan builder ended well")
    version = json.loads(product.ask("/v1/version"))
    require(
        version["engine"] == "triton", "with the profile gpu the engine is Triton, with no setting changed", version
    )
    require(finds(product, 3), "and finds the same 3 people in demo/people.jpg")


def check_closed(product: Product) -> None:
    ports = product.inspect("{{json .NetworkSettings.Ports}}", "triton")
    require("HostPort" not in ports, "Triton publishes no port", ports)
    status = product.docker("exec", product.container("triton"), "cat", "/proc/1/status")
    facts = dict(re.findall(r"^(\w+):\s+(.*)$", status, re.M))
    found = (facts["Uid"].split()[0], int(facts["CapBnd"], 16), facts["NoNewPrivs"])
    require(found == ("1000", 0, "1"), "it runs as user 1000 without capabilities", found)
    connect = "import socket; s = socket.socket(); s.settimeout(2); print(s.connect_ex(('triton', 8000)))"
    require(product.python(connect) == "111", "its HTTP is for its own health check: the gateway cannot reach it")
    words = product.python(CLIENT.format("client.get_model_repository_index()"), status=1)
    require("restricted" in words, "its model repository is closed to everybody", words[-300:])
    found = product.python(CLIENT.format("client.get_inference_statistics().model_stats[0].name"))
    require(found == "depthhmr", "its statistics are open to the gateway", found)


def check_metrics(product: Product) -> None:
    program = "import urllib.request as u; print(u.urlopen('http://triton:8002/metrics', timeout=3).read().decode())"
    families = set(re.findall(r"^# TYPE (\w+) ", product.python(program), re.M))
    used = names_used(r"nv_inference_\w+")
    require(
        used <= families, f"Triton has the {len(used)} nv_inference metrics of dashboard and alerts", used - families
    )


def names_used(pattern: str) -> set[str]:
    folder = REPOSITORY / "docker" / "observability"
    return {
        name
        for file in ("alerts.yml", "grafana/depthhmr.json")
        for name in re.findall(rf"\b{pattern}", (folder / file).read_text())
    }


def check_death(product: Product) -> None:
    """Killed, Triton comes back by itself; stopped, it is missed by readiness and by nothing else."""
    before = int(product.inspect("{{.RestartCount}}", "triton"))
    os.kill(int(product.inspect("{{.State.Pid}}", "triton")), 9)
    begin = time.monotonic()
    state = wait_for(
        lambda: product.inspect("{{.RestartCount}} {{.State.Health.Status}}", "triton") == f"{before + 1} healthy"
    )
    require(state, f"killed, Triton is back and healthy after {time.monotonic() - begin:.1f} s")
    require(wait_for(lambda: finds(product, 3)), "and the gateway finds 3 people again")
    product.compose("stop", "triton", profile="gpu")
    begin = time.monotonic()
    require(wait_for(lambda: status(product, "/v1/health/ready") == 503), "without Triton the gateway is not ready")
    require(status(product, "/v1/health/live") == 200, f"but alive, {time.monotonic() - begin:.1f} s later")
    product.compose("start", "triton", profile="gpu", timeout_s=START_S)
    require(wait_for(lambda: status(product, "/v1/health/ready") == 200), "ready when Triton has been started again")
    require(wait_for(lambda: finds(product, 3)), "and finds 3 people again")


def finds(product: Product, people: int) -> bool:
    image = (REPOSITORY / "demo" / "people.jpg").read_bytes()
    try:
        reply = json.loads(product.ask("/v1/reconstruct", image, Content_Type="image/jpeg"))
    except Failed:  # not yet
        return False
    return len(reply["people"]) == people


def wait_for(holds: Callable[[], bool], seconds: float = BACK_S) -> bool:
    """Whether it holds within that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.2)
    return False


def status(product: Product, path: str) -> int:
    try:
        return urllib.request.urlopen(f"http://{product.address()}{path}", timeout=5).status
    except urllib.error.HTTPError as error:
        return error.code
