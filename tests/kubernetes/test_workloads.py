"""Pods: hardened, limited, probed where the service really answers, and told settings that it really has."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from depthhmr_cli.main import build_parser
from service import __version__
from service.settings import PREFIX, Settings, load_settings

REPOSITORY = Path(__file__).parents[2]
GATEWAY, PLAN, TRITON = "depthhmr/gateway", "depthhmr/plan", "nvcr.io/nvidia/tritonserver"
SAFE_VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "secret", "downwardAPI", "projected"}


def containers(manifests) -> Iterator[tuple[Any, dict[str, Any]]]:
    for pod in manifests.pods:
        for container in pod.containers:
            yield pod, container


def test_every_pod_meets_the_restricted_standard(manifests) -> None:
    """Kubernetes' Pod Security Standard `restricted`, and an own user, and no token of the cluster."""
    for pod in manifests.pods:
        security = pod.spec["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] == 10001, pod.owner
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, pod.owner
        assert pod.spec["automountServiceAccountToken"] is False, pod.owner
        assert {"hostNetwork", "hostPID", "hostIPC"} & set(pod.spec) == set(), pod.owner
        for volume in pod.spec["volumes"]:
            assert set(volume) - {"name"} <= SAFE_VOLUMES, (pod.owner, volume)


def test_every_container_is_hardened(manifests) -> None:
    for pod, container in containers(manifests):
        security = dict(container["securityContext"])
        assert security.pop("runAsUser", 10001) > 0 and security.pop("runAsGroup", 10001) > 0
        assert security == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, (pod.owner, container["name"])


def test_every_container_has_requests_and_limits(manifests) -> None:
    for pod, container in containers(manifests):
        for side in ("requests", "limits"):
            assert {"cpu", "memory"} <= set(container["resources"][side]), (pod.owner, container["name"], side)


def test_every_volume_in_memory_or_on_the_node_has_a_size(manifests) -> None:
    for pod in manifests.pods:
        for volume in pod.spec["volumes"]:
            if "emptyDir" in volume:
                assert volume["emptyDir"].get("sizeLimit"), (pod.owner, volume["name"])


def test_every_container_can_write_to_tmp_and_every_mount_has_its_volume(manifests) -> None:
    for pod, container in containers(manifests):
        assert "emptyDir" in pod.volume(mounts(container)["/tmp"]["name"]), (pod.owner, container["name"])
        assert all(pod.volume(mount["name"]) for mount in container["volumeMounts"])


def test_service_links_are_off(manifests) -> None:
    """They would put DEPTHHMR_..._PORT=tcp://... among our settings."""
    assert [pod.owner for pod in manifests.pods if pod.spec["enableServiceLinks"] is not False] == []


def test_only_containers_of_the_gpu_ask_for_gpus(manifests) -> None:
    for pod, container in containers(manifests):
        wanted = container["resources"]["limits"].get("nvidia.com/gpu")
        assert wanted == (None if image_name(container) == GATEWAY else "1"), (pod.owner, container["name"])


def test_every_probe_and_port_name_points_at_a_port_that_the_container_opens(manifests) -> None:
    for pod, container in containers(manifests):
        names = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        for probe in probes(container).values():
            target = (probe.get("httpGet") or probe.get("grpc") or {"port": None})["port"]
            assert target is None or target in names or target in names.values(), (pod.owner, target)


def test_every_server_has_the_three_probes(manifests) -> None:
    for pod, container in containers(manifests):
        if image_name(container) != PLAN:
            assert set(probes(container)) == {"startupProbe", "livenessProbe", "readinessProbe"}, pod.owner


@pytest.mark.anyio
async def test_probes_of_the_gateway_are_paths_that_it_answers(manifests, client) -> None:
    for _, container in containers(manifests):
        if image_name(container) == GATEWAY:
            paths = {name: probe["httpGet"]["path"] for name, probe in probes(container).items()}
            assert paths == {
                "startupProbe": "/v1/health/startup",
                "livenessProbe": "/v1/health/live",
                "readinessProbe": "/v1/health/ready",
            }
            for path in paths.values():
                assert (await client.get(path)).status_code == 200


def test_what_was_accepted_may_finish_before_the_pod_is_killed(manifests) -> None:
    for pod, container in containers(manifests):
        if image_name(container) == PLAN:
            continue
        if image_name(container) == GATEWAY:
            environment = manifests.environment(container)
            delay = float(environment["DEPTHHMR_DRAIN_DELAY_S"])
            assert delay >= 5, "proxies need a moment to hear of it"
            drain = int(environment["DEPTHHMR_SHUTDOWN_TIMEOUT_S"])
            assert drain >= float(environment["DEPTHHMR_REQUEST_TIMEOUT_S"])
        else:
            delay = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            drain = int(flags(container)["exit-timeout-secs"])
        assert pod.spec["terminationGracePeriodSeconds"] >= delay + drain + 5, pod.owner


def test_every_variable_of_ours_is_a_setting_and_its_value_is_accepted(
    manifests, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = 0
    for pod, container in containers(manifests):
        ours = {name: value for name, value in manifests.environment(container).items() if name.startswith(PREFIX)}
        unknown = [name for name in ours if name.removeprefix(PREFIX).lower() not in Settings.model_fields]
        assert unknown == [], pod.owner
        with monkeypatch.context() as patched:
            for name, value in ours.items():
                patched.setenv(name, value)
            settings = load_settings()
        if image_name(container) == GATEWAY:
            seen += 1
            assert settings.host == "0.0.0.0", "127.0.0.1 is reached by nobody outside the pod"
            assert settings.port == container["ports"][0]["containerPort"]
            assert settings.engine == ("embedded" if manifests.name == "base" else "triton")
    assert seen == 1


def test_gateways_ask_triton_where_it_listens(gpu, kserve) -> None:
    service = gpu.get("Service", "depthhmr-triton")
    container = gpu.pod("depthhmr-gateway").containers[0]
    assert gpu.environment(container)["DEPTHHMR_TRITON_URL"] == "depthhmr-triton:8001"
    assert [port["port"] for port in service["spec"]["ports"]] == [8001]

    container = kserve.pod("depthhmr-transformer").containers[0]
    assert kserve.environment(container)["DEPTHHMR_TRITON_URL"] == "depthhmr-predictor:8001"


def test_tritons_service_is_headless(gpu) -> None:
    """One address for all would pin each gateway, which keeps one connection, to one of them."""
    assert gpu.get("Service", "depthhmr-triton")["spec"]["clusterIP"] == "None"


def test_flags_of_triton_open_the_ports_that_the_container_names(manifests) -> None:
    for _, container in containers(manifests):
        if image_name(container) == TRITON:
            given = flags(container)
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            assert {"grpc": int(given["grpc-port"]), "metrics": int(given["metrics-port"])} == ports
            assert given["http-address"] == "127.0.0.1", "HTTP is for the liveness probe inside the container"
            assert given["model-control-mode"] == "none"


def test_triton_reads_what_the_plan_builder_writes(gpu) -> None:
    pod = gpu.pod("depthhmr-triton")
    builder, triton = pod.containers

    assert builder["args"][-2:] == ["--out", flags(triton)["model-repository"]]
    assert mounts(builder)["/plans"] == {"name": "plans", "mountPath": "/plans"}
    assert mounts(triton)["/plans"] == {"name": "plans", "mountPath": "/plans", "readOnly": True}
    assert "emptyDir" in pod.volume("plans")


def test_settings_of_a_deployment_come_from_a_configmap_named_after_its_content(gpu) -> None:
    names = [document["metadata"]["name"] for document in gpu.of("ConfigMap")]

    assert any(re.fullmatch(r"depthhmr-settings-[a-z0-9]{10}", name) for name in names)


def test_commands_are_ones_that_depthhmr_has(manifests) -> None:
    seen = []
    for _, container in containers(manifests):
        for line in re.findall(r"depthhmr ((?:serve|tensorrt)\b[^\n]*)", " ".join(container.get("args", []))):
            arguments = shlex.split(line.removesuffix(" depthhmr"))  # the $0 of a shell's script
            assert build_parser(arguments).parse_args(arguments)
            seen.append(arguments[0])

    assert sorted(seen) == (["serve"] if manifests.name == "base" else ["serve", "tensorrt"])


def test_plan_cache_is_the_builders_alone(production) -> None:
    pod = production.pod("depthhmr-triton")
    builder, triton = pod.containers

    assert pod.volume("cache")["persistentVolumeClaim"]["claimName"] == "depthhmr-plans"
    assert production.get("PersistentVolumeClaim", "depthhmr-plans")
    assert "/cache" in mounts(builder) and "/cache" not in mounts(triton)
    assert "emptyDir" in pod.volume("plans")


def test_plan_cache_has_a_folder_per_kind_of_gpu(production, tmp_path: Path) -> None:
    """The builder's script, with stand-ins for the two programs that need a GPU."""
    script = cached_build(production, tmp_path, gpu="NVIDIA A10/x 24G")

    result = subprocess.run(["sh", "-euc", script], env=path_of(tmp_path), capture_output=True, text=True, timeout=20)

    assert result.returncode == 0, result.stderr
    assert (tmp_path / "cache" / "NVIDIA-A10-x-24G" / "depthhmr" / "config.pbtxt").exists()
    assert (tmp_path / "plans" / "depthhmr" / "config.pbtxt").exists()


def test_plan_cache_says_that_there_is_no_gpu(production, tmp_path: Path) -> None:
    script = cached_build(production, tmp_path, gpu="")

    result = subprocess.run(["sh", "-euc", script], env=path_of(tmp_path), capture_output=True, text=True, timeout=20)

    assert result.returncode != 0 and "no GPU was found" in result.stderr
    assert list((tmp_path / "plans").iterdir()) == []


def cached_build(production, folder: Path, *, gpu: str) -> str:
    """The script with its folders under `folder`, where programs lie that play nvidia-smi and depthhmr."""
    builder = production.pod("depthhmr-triton").containers[0]
    assert builder["args"][:2] == ["sh", "-euc"]
    script = builder["args"][2].replace("/cache", f"{folder}/cache").replace(" /plans", f" {folder}/plans")
    for name in ("bin", "cache", "plans"):
        (folder / name).mkdir()
    programs = {
        "nvidia-smi": f"echo '{gpu}'",
        "depthhmr": 'eval out=\\${$#}; mkdir -p "$out/depthhmr" && touch "$out/depthhmr/config.pbtxt"',
    }
    for name, line in programs.items():
        program = folder / "bin" / name
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
    return script


def path_of(folder: Path) -> dict[str, str]:
    return {"PATH": f"{folder}/bin:/usr/bin:/bin"}


def test_selectors_match_the_pods_that_they_mean(manifests) -> None:
    for kind in ("Deployment", "Service", "PodDisruptionBudget", "PodMonitor"):
        for document in manifests.of(kind):
            selector = document["spec"]["selector"]
            wanted = selector.get("matchLabels", selector)
            matched = [pod.owner for pod in manifests.pods if wanted.items() <= pod.labels.items()]
            assert matched == [document["metadata"]["name"]], kind


def test_ports_of_services_and_monitors_exist(manifests) -> None:
    for document in manifests.of("Service"):
        for port in document["spec"]["ports"]:
            assert port["targetPort"] in port_names(manifests.pod(document["metadata"]["name"]))
    for document in manifests.of("PodMonitor"):
        for endpoint in document["spec"]["podMetricsEndpoints"]:
            assert endpoint["port"] in port_names(manifests.pod(document["metadata"]["name"]))


def test_spread_constraints_count_the_pods_of_their_own_deployment(manifests) -> None:
    for pod in manifests.pods:
        for constraint in pod.spec.get("topologySpreadConstraints", []):
            assert constraint["labelSelector"]["matchLabels"].items() <= pod.labels.items()


def test_our_images_bear_the_version_of_the_package(manifests) -> None:
    for _, container in containers(manifests):
        if image_name(container) in (GATEWAY, PLAN):
            assert container["image"].endswith(f":{__version__}"), "kustomization.yaml names another version"


def test_images_are_those_of_docker_compose(manifests) -> None:
    """The Triton release is chosen there; a plan fits no other."""
    text = (REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8")
    services = yaml.safe_load(text)["services"]
    images = {name: with_defaults(service["image"]) for name, service in services.items()}

    for _, container in containers(manifests):
        name = image_name(container)
        if name == TRITON:
            assert container["image"] == images["triton"]
        elif name == PLAN:
            assert images["plan"].partition(":")[0] == name
            # the same words, but for the folder
            assert " ".join(services["plan"]["command"][:-1]) in " ".join(container["args"])
        else:
            assert images["gateway"].partition(":")[0] == name


def image_name(container: dict[str, Any]) -> str:
    return container["image"].partition(":")[0]


def with_defaults(text: str) -> str:
    """`${NAME:-default}` as compose reads it when nothing is set; the innermost first."""
    while "${" in text:
        text, found = re.subn(r"\$\{[A-Z_]+:-([^${}]*)\}", r"\1", text)
        assert found, f"cannot read {text}"
    return text


def probes(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: container[name] for name in ("startupProbe", "livenessProbe", "readinessProbe") if name in container}


def mounts(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {mount["mountPath"]: mount for mount in container["volumeMounts"]}


def port_names(pod) -> set[str]:
    return {port["name"] for container in pod.containers for port in container.get("ports", [])}


def flags(container: dict[str, Any]) -> dict[str, str]:
    """--name=value, and --name alone, of a container's arguments."""
    given = [argument.removeprefix("--").partition("=") for argument in container["args"]]
    return {name: value for name, _, value in given}
