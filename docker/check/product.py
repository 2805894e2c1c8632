"""The compose project under check."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path

import pip_secrets
from terminal import Failed, run

REPOSITORY = Path(__file__).resolve().parents[2]
BASE = "python:3.11-slim-bookworm"
PYTHON = "/opt/depthhmr/bin/python"

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Product:
    """The compose project under check: our files, and what this machine needs laid over them."""

    def __init__(self, env: dict[str, str], scratch: Path, overlays: list[Path], packages: Path | None = None) -> None:
        self.scratch, self.packages = scratch, packages
        self.project = f"depthhmr-check-{os.getpid()}"
        self.image, self.base = "depthhmr/gateway:check", BASE
        self.env = {
            **{name: value for name, value in env.items() if not name.startswith("DEPTHHMR_")},
            "GATEWAY_IMAGE": self.image,
            # any free port: the machine may use 8000 for something
            **dict.fromkeys(("GATEWAY_PORT", "GRPC_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT"), "0"),
            "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
            "DOCKER_CLI_HINTS": "false",
        }
        self.secret_words = pip_secrets.write(scratch)
        self.secret_files = {"pip_conf": "pip.conf", "ca_bundle": "ca.crt"}
        ours = scratch / "secrets.yml"
        build = {"build": {"secrets": list(self.secret_files)}}
        ours.write_text(  # YAML takes JSON
            json.dumps(
                {
                    "services": {"gateway": build, "plan": build},
                    "secrets": {name: {"file": f"{scratch}/{file}"} for name, file in self.secret_files.items()},
                }
            )
        )
        self.files = [REPOSITORY / "docker-compose.yml", ours, *(path.resolve() for path in overlays)]

    def docker(self, *words: object, status: int | None = 0, timeout_s: float = 60) -> str:
        done = run(["docker", *words], env=self.env, status=status, timeout_s=timeout_s)
        return (done.stdout + ("" if status == 0 else done.stderr)).strip()

    def compose(self, *words: object, profile: str = "", timeout_s: float = 60, **variables: str) -> str:
        files = [word for path in self.files for word in ("--file", path)]
        scope = ["--project-directory", REPOSITORY, "--project-name", self.project, "--env-file", os.devnull]
        profiles = ["--profile", profile] if profile else []
        command = ["docker", "compose", *files, *scope, *profiles, *words]
        return run(command, env={**self.env, **variables}, timeout_s=timeout_s).stdout.strip()

    def container(self, service: str = "gateway") -> str:
        return self.compose("ps", "--all", "--quiet", service, profile="*")

    def inspect(self, template: str, service: str = "gateway") -> str:
        return self.docker("inspect", "--format", template, self.container(service))

    def address(self, service: str = "gateway", port: int = 8000) -> str:
        return self.compose("port", service, port, profile="*")

    def python(self, program: str, *, status: int | None = 0) -> str:
        """What a program prints in the running gateway, as its own user."""
        return self.docker("exec", self.container(), PYTHON, "-c", program, status=status)

    def remove_images(self) -> None:
        """Take back the images that were tagged for the check; the build cache still has their layers."""
        tags = self.docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "depthhmr/*:check").split()
        if tags:
            self.docker("image", "rm", "--force", *tags)

    def once(self, *options: str, status: int | None = 0) -> str:
        """What the image prints when it runs once, as hardened as in the compose file."""
        hardened = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
        return self.docker("run", "--rm", *hardened, *options, status=status)

    def ask(
        self, path: str, content: bytes | None = None, service: str = "gateway", port: int = 8000, **headers: str
    ) -> bytes:
        """GET, or POST of an image, to a published port."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"http://{self.address(service, port)}{path}", data=content, headers=named)
        try:
            with opener.open(request, timeout=30) as reply:
                return reply.read()
        except urllib.error.HTTPError as error:
            raise Failed(f"{path} answered {error.code}: {error.read(500).decode(errors='replace')}") from error
        except OSError as error:
            raise Failed(f"{path} did not answer: {error}") from error
