"""docker-compose.yml: valid for Compose, closed to the outside, hardened, pinned, and complete in its settings."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from service.settings import PREFIX, Settings

REPOSITORY = Path(__file__).parents[2]
COMPOSE_FILE = (REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES = ("gateway", "plan", "triton", "prometheus", "grafana")
ONE_SHOT = ("plan",)
PUBLISHED = {"gateway": [8000, 50051], "prometheus": [9090], "grafana": [3000]}


@pytest.mark.parametrize("profiles", [(), ("gpu",), ("observability",), ("gpu", "observability")])
def test_compose_accepts_the_file(compose, profiles: tuple[str, ...]) -> None:
    result = compose("config", "--quiet", profiles=profiles)

    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # no warning of a variable that is not set


@pytest.mark.parametrize(
    ("profiles", "expected"),
    [
        ((), {"gateway"}),
        (("gpu",), {"gateway", "plan", "triton"}),
        (("observability",), {"gateway", "prometheus", "grafana"}),
    ],
)
def test_each_profile_brings_its_services(compose, profiles: tuple[str, ...], expected: set[str]) -> None:
    result = compose("config", "--services", profiles=profiles)

    assert set(result.stdout.split()) == expected


def test_an_unknown_key_would_be_noticed(compose, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text("services: {gateway: {read_onyl: true}}")

    result = compose("--file", "docker-compose.yml", "--file", str(wrong), "config", "--quiet")

    assert result.returncode != 0
    assert "read_onyl" in result.stderr


def test_the_tests_know_every_service(services: dict[str, Any]) -> None:
    assert set(services) == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_hardened(services: dict[str, Any], name: str) -> None:
    service = services[name]

    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"]), "a number, and not root's"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] > 0
    assert int(service["mem_limit"]) > 0
    assert all("size=" in folder for folder in service["tmpfs"])
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")


@pytest.mark.parametrize("name", SERVICES)
def test_service_that_stays_has_a_health_check(services: dict[str, Any], name: str) -> None:
    check = services[name]["healthcheck"]

    if name in ONE_SHOT:
        assert check == {"disable": True}
    else:
        assert check["test"][0] == "CMD"
        assert {"interval", "timeout", "retries", "start_period"} <= set(check)


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_published_on_loopback_or_not_at_all(services: dict[str, Any], name: str) -> None:
    ports = services[name].get("ports", [])

    assert {port["host_ip"] for port in ports} <= {"127.0.0.1"}
    assert [port["target"] for port in ports] == PUBLISHED.get(name, [])
    assert services[name].get("network_mode") != "host"


@pytest.mark.parametrize("name", SERVICES)
def test_service_gets_nothing_of_the_host_but_files_that_it_may_read(services: dict[str, Any], name: str) -> None:
    binds = [volume for volume in services[name].get("volumes", []) if volume["type"] == "bind"]

    assert all(bind["read_only"] for bind in binds)
    assert all(Path(bind["source"]).is_file() for bind in binds)
    assert not any("docker.sock" in bind["source"] for bind in binds)


def test_triton_is_on_the_inner_network_alone(compose, services: dict[str, Any]) -> None:
    networks = json.loads(compose("config", "--format", "json", profiles=("gpu",)).stdout)["networks"]

    assert list(services["triton"]["networks"]) == ["inference"]
    assert networks["inference"]["internal"] is True
    assert services["plan"]["network_mode"] == "none"


def test_triton_may_only_read_the_plan(services: dict[str, Any]) -> None:
    (volume,) = services["triton"]["volumes"]

    assert (volume["source"], volume["target"], volume["read_only"]) == ("plans", "/models", True)


def test_triton_waits_for_the_plan_and_the_gateway_for_triton(services: dict[str, Any]) -> None:
    assert services["triton"]["depends_on"]["plan"]["condition"] == "service_completed_successfully"
    assert services["gateway"]["depends_on"]["triton"]["condition"] == "service_healthy"
    assert services["gateway"]["depends_on"]["triton"]["required"] is False


def test_triton_is_closed_where_nobody_needs_it(services: dict[str, Any]) -> None:
    command = services["triton"]["command"][-1].split()

    for flag in (
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        "--exit-on-error=true",
        "--http-address=127.0.0.1",
    ):
        assert flag in command
    (restricted,) = (flag for flag in command if flag.startswith("--grpc-restricted-protocol="))
    assert restricted.split("=", 1)[1].split(":")[0] == "model-repository,shared-memory,trace,logging"


@pytest.mark.parametrize("name", ["plan", "triton"])
def test_service_reserves_one_gpu(services: dict[str, Any], name: str) -> None:
    (device,) = services[name]["deploy"]["resources"]["reservations"]["devices"]

    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


@pytest.mark.parametrize("name", ["triton", "prometheus", "grafana"])
def test_image_is_pinned_to_a_release(services: dict[str, Any], name: str) -> None:
    assert re.search(r":(v?\d+\.\d+\.\d+|\d\d\.\d\d-py3)$", services[name]["image"])


def test_triton_and_the_plan_builder_are_of_one_release(compose) -> None:
    def images(**variables: str) -> tuple[str, str]:
        config = compose("config", "--format", "json", profiles=("gpu",), **variables)
        found = json.loads(config.stdout)["services"]
        return found["triton"]["image"], found["plan"]["build"]["args"]["TENSORRT_IMAGE"]

    release = re.search(r"tritonserver:(\d\d\.\d\d)-py3", images()[0])

    assert release
    assert images()[1] == f"nvcr.io/nvidia/tensorrt:{release[1]}-py3"
    assert images(TRITON_RELEASE="27.01") == (
        "nvcr.io/nvidia/tritonserver:27.01-py3",
        "nvcr.io/nvidia/tensorrt:27.01-py3",
    )
    dockerfile = (REPOSITORY / "docker" / "plan.Dockerfile").read_text()
    assert f"ARG TENSORRT_IMAGE={images()[1]}\n" in dockerfile


def test_every_setting_reaches_the_gateway(services: dict[str, Any]) -> None:
    passed = {name.removeprefix(PREFIX).lower() for name in services["gateway"]["environment"]}

    missing, unknown = set(Settings.model_fields) - passed, passed - set(Settings.model_fields)
    assert missing == set(), f"add {', '.join(PREFIX + name.upper() for name in sorted(missing))} to docker-compose.yml"
    assert unknown == set(), f"{', '.join(sorted(unknown))} in docker-compose.yml is no setting"


def test_setting_of_the_shell_reaches_the_gateway(compose) -> None:
    config = compose("config", "--format", "json", DEPTHHMR_THREADS="3", DEPTHHMR_ENGINE="embedded")

    environment = json.loads(config.stdout)["services"]["gateway"]["environment"]
    assert environment["DEPTHHMR_THREADS"] == "3"
    assert environment["DEPTHHMR_ENGINE"] == "embedded"
    assert environment["DEPTHHMR_WORKERS"] is None  # not set, so the service takes its own default


def test_image_and_compose_file_check_health_alike(services: dict[str, Any]) -> None:
    dockerfile = (REPOSITORY / "docker" / "gateway.Dockerfile").read_text()

    (command,) = re.findall(r"HEALTHCHECK [^\n]*\\\n\s+CMD (\[.*\])", dockerfile)
    assert services["gateway"]["healthcheck"]["test"] == ["CMD", *json.loads(command)]
